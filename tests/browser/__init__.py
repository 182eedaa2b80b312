"""What a reader meets: the magics in a real JupyterLab and Notebook 7, in a headless browser."""
