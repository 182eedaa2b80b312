def test_probe(open_page, server):
    page = open_page(server.write("probe", ["%load_ext gprochat_magic", "%%gprochat\nhi"], kernel="python3"))
    page.run_all(); page.settle()
    for sel in [".gprochat pre", ".gprochat pre code", ".gprochat table", ".gprochat td", ".gprochat th", ".gprochat h1", ".gprochat blockquote"]:
        print(sel, page.page.evaluate("""(sel) => { const e=document.querySelector(sel); const r=[];
        for (const s of document.styleSheets) for (const x of s.cssRules) if (x.selectorText && e.matches(x.selectorText)) r.push(x.cssText.replace(/\\s+/g,' ')); return r.join('\\n  ');}""", sel))
    assert 0
