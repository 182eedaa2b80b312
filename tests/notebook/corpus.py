"""Prompts with braces, as people paste them: none names anything, so none may be changed."""

from __future__ import annotations

_JSON = r"""
{}
{"a": 1}
{"name": "Ada", "tags": ["x", "y"], "deep": {"er": {"est": null}}}
[{"id": 1}, {"id": 2}]
{"price": 1.5e-3, "ok": true}
{"regex": "\\d{3}-\\d{4}"}
{"emoji": "\ud83d\ude00", "ключ": "значение"}
{a: 1, b: 2}
{'single': 'quotes'}
{"$ref": "#/definitions/{name}"}
{"template": "{{ title }}", "other": "{title}"}
{"type":"object","properties":{"x":{"type":"number"}},"required":["x"]}
Fix this JSON: {"a": 1, "b": [1, 2, {"c": }]}
Is {"jsonrpc": "2.0", "method": "sum", "params": [1, 2], "id": 1} valid?
"""

_JAVASCRIPT = r"""
const f = (x) => { return { ...x, done: true }; };
function add(a, b) { return a + b }
const { a, b: { c } } = props;
`Hello ${name}, you are ${age > 17 ? "adult" : "young"}`
import { useState } from "react";
<div style={{ color: "red" }}>{items.map(i => <li key={i}>{i}</li>)}</div>
try { f() } catch (e) { console.error(`${e}`) } finally { done() }
for (const [k, v] of Object.entries({ x: 1 })) { console.log(k, v); }
class A { #secret = 1; static { A.n = 0; } get x() { return this.#secret; } }
export default { data() { return { msg: 'hi' } } }
type P = { [key: string]: number | undefined };
interface Point { x: number; y?: number }
const re = /^\w{2,5}\{/;
label: { break label; }
onClick={() => setState({ ...state, open: !state.open })}
"""

_CSS = r"""
body { margin: 0; }
.a:hover { color: #fff }
@media (max-width: 600px) { .b { display: none } }
:root { --main-color: #06c; --accent: calc(var(--x) * 2) }
a{color:red}b{color:blue}
@keyframes spin { from { transform: rotate(0) } to { transform: rotate(360deg) } }
.grid { grid-template-areas: "a b" "c d"; }
@supports (display: grid) { div { float: none; } }
$map: (key: value); .m { @include mix($a...) { color: red; } }
.parent { &:hover { .child & { x: y } } }
#{$selector} { width: 10px }
"""

_LATEX = r"""
\frac{a}{b}
$\sum_{i=1}^{n} x_{i}^{2}$
\begin{align} a &= b \\ c &= d \end{align}
\textbf{bold} and \emph{italic}
\newcommand{\R}{\mathbb{R}}
\left\{ x \in \mathbb{R} \mid x > 0 \right\}
$\sqrt[n]{\frac{1}{x_{ij}}}$
\usepackage[utf8]{inputenc}
{\Large big}
\def\x#1{#1^{2}}
Explain $\int_{0}^{\infty} e^{-x^{2}} dx = \frac{\sqrt{\pi}}{2}$ to me
\begin{tabular}{|c|r|} 1 & 2 \\ \hline \end{tabular}
\lim_{x \to 0} \frac{\sin{x}}{x}
\texttt{\{braces\}}
{x}^{2} + {y}^{2}
\overset{def}{=}
\hat{\beta}_{OLS}
"""

_TEMPLATES = r"""
{{ user.name }}
{% if user %}{{ user.name|default("none") }}{% endif %}
{%- for item in items -%}{{ loop.index }}{%- endfor -%}
{# a comment #}
{{ "%.2f"|format(value) }}
{{value}}
{{{triple}}}
{{#if x}}yes{{else}}no{{/if}}
{{> partial}}
{{& unescaped }}
{{range .Items}}{{.Name}} {{end}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default "latest" }}
{{- with .Site.Params }}{{ .author }}{{ end -}}
{{define "T"}}x{{end}}{{template "T" .}}
{{ $x := 1 }}{{ if gt $x 0 }}{{ printf "%d" $x }}{{ end }}
<p>{{ 'key' | translate }}</p>
<li *ngFor="let x of xs">{{x.y}}</li>
${{ secrets.TOKEN }}
${{ matrix.os }}-${{ matrix.python }}
<%= user %> and {{ yield }}
{{ states('sensor.x') | float(0) }}
"""

_PYTHON = r"""
f"{x!r}"
f"{x:>{width}}"
f'{d["key"]} and {o.attr:.2f}'
print(f"{{literal}} {value}")
"{} {}".format(a, b)
"{0:>10} {name}".format(1, name=2)
{k: v for k, v in d.items() if v}
{1, 2, 3}
d = {"a": {"b": [1, {"c": 2}]}}
def f(**kwargs): return {**kwargs, "x": 1}
f"{x=}"
f"{now:%Y-%m-%d}"
f"{(lambda x: x * 2)(3)}"
f"{'nested ' + f'{y}'}"
match p: case {"x": x, **rest}: pass
logging.info("%(name)s {not a field}")
string.Template("${name} $x {y}")
what does f"{obj.method()}" do?
pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})
explain {x}, {x.y}, {x[0]}, {x["k"]}, {x['k']}, {x[-1].y}
f"{x:{y}}" vs f"{x:{y!r}}"
"""

_C = r"""
int main(void) { return 0; }
struct point { int x, y; } p = { .x = 1, .y = 2 };
int a[] = {1, 2, 3};
if (x) { y(); } else { z(); }
#define SWAP(a, b) do { int t = a; a = b; b = t; } while (0)
std::vector<int> v{1, 2, 3};
auto f = [&](auto x) { return x; };
template <typename T> concept C = requires(T t) { { t.f() } -> std::same_as<int>; };
enum class E { A, B };
namespace a { namespace b {} }
switch (c) { case 'a': { break; } default: {} }
printf("{%d}\n", x);
std::format("{:>10} {}", 1, x);
fn main() { println!("{} {name} {x:?} {{}}", 1, name = 2); }
let s = Struct { field, ..Default::default() };
match x { Some(n) if n > 0 => { n } _ => {} }
macro_rules! m { ($($x:expr),*) => { { $($x);* } } }
func f() (map[string]int, error) { return map[string]int{"a": 1}, nil }
type T struct { Name string `json:"name"` }
go func() { defer wg.Done(); ch <- struct{}{} }()
public class A { int[] x = {1}; void f() { x = new int[]{2}; } }
$"{name,10:F2} {{x}}" in C#
var o = new { A = 1 }; Console.WriteLine("{0}", o);
val f = { x: Int -> x + 1 }; "$name ${x.y}"
let c = { (a: Int) -> Int in a }
case class P(x: Int) { def f = s"${x} {y}" }
"""

_SHELL = r"""
echo ${HOME} {a,b,c} {1..10}
for f in *.{png,jpg}; do mv "$f" "${f%.*}.bak"; done
awk '{ print $1 }' file
awk 'BEGIN { FS="," } { s += $2 } END { print s }'
find . -exec rm {} \;
xargs -I{} cp {} /tmp
f() { local x=${1:-default}; echo "${x^^}"; }
${array[@]} ${#array[@]} ${var//a/b}
curl -d '{"a": 1}' http://localhost
sed -n '/start/,/end/{p;q}'
docker inspect -f '{{.State.Status}} {{range .Mounts}}{{.Name}}{{end}}'
git stash show stash@{0}
git rev-parse HEAD@{yesterday} @{u}
{ echo a; echo b; } > file
kubectl get po -o jsonpath='{.items[*].metadata.name}'
jq '{a: .b, c: [.d[] | {e: .f}]}'
rename 's/(\d{4})/$1/' *
parallel echo {1} {2} ::: a b ::: c d
"""

_PATTERNS = r"""
\d{3}-\d{4}
^[a-z]{2,}$
(\w+){1,3}?
\p{L}+ \u{1F600} \x{41}
(?<year>\d{4})-(?<m>\d{2})
[{}]
a{,5}
{name:[a-z]+}/{id:int}
/users/{user_id}/posts/{post_id}
/{lang}/{page}.html
https://api.test/v1/{resource}{?page,limit}
{scheme}://{host}:{port}{/path*}
%{TIMESTAMP_ISO8601:time} %{LOGLEVEL}
"""

_WORDS = r"""
What are { and } for?
{
}
}{
{{
}}
{{}}
{ }
{ x }
{x
x}
{x}}
{{x}
{{{x}}}
{{{{x}}}}
{x y}
{x+y}
{x()}
{x.y()}
{1}
{1.5}
{-1}
{x.}
{.x}
{x..y}
{x[]}
{x[}
{x]}
{x[y]}
{x[1:2]}
{x["a}
{x!}
{x!z}
{x:}
{x!r:}
{lambda: 1}
{import os}
{None and True}
{переменная}
{名前}
{été.à}
{x😀}
😀{😀}😀
(:{) smile
a set {1, 2} ∪ {3}
{x | x ∈ ℝ, x > 0}
«{кавычки}» и „{ещё}“
{__class__} {__file__}
{open} {exit} {quit} {get_ipython}
{x.__class__.__mro__[1].__subclasses__}
{self.config[SECRET_KEY]}
{Err[99999]} {In[99999]} {Out[99999]}
{Err[99999].x} and {Out["a"]}
tab	{a}	{b}
trailing backslash \{x\}
%{x} #{x} @{x} ^{x} ~{x} &{x} *{x}
{"a"} {'a'} {`a`}
<{x}> [{x}] ({x})
C:\{dir}\{file}.txt
{x}{y}{z}{x}
{a.b.c.d.e.f.g}
{a[0][1][2]["x"]['y']}
{x:>10} {x:<10} {x:^10} {x:+.2e} {x:,} {x:%}
{x!r} {x!s} {x!a} {x!r:>5}
$HOME $x {$x} $$ {$$}
?? {x}?
! {x}!
-x {y} --z={w}
"""

LINES = [
    line
    for block in (
        _JSON,
        _JAVASCRIPT,
        _CSS,
        _LATEX,
        _TEMPLATES,
        _PYTHON,
        _C,
        _SHELL,
        _PATTERNS,
        _WORDS,
    )
    for line in block.strip("\n").splitlines()
]
"""Those of one line."""

CELLS = [
    '{\n  "name": "x",\n  "list": [\n    {"a": 1},\n    {"b": {}}\n  ]\n}',
    "def f(x):\n    return f\"{x!r:>{10}} {{x}}\"\n\nprint(f({'a': 1}))",
    "body {\n    color: red;\n}\n\n.a > .b {\n    margin: 0;\n}",
    "\\begin{equation}\n  \\label{eq:1}\n  E = mc^{2}\n\\end{equation}",
    "{% extends 'base.html' %}\n{% block body %}\n  {{ super() }}\n{% endblock %}",
    "{\n\n}",
    '#include <stdio.h>\nint main() {\n\tprintf("%d {x}\\n", 1);\n\treturn 0;\n}',
    "{{- range $i, $x := .Items }}\n  {{ $i }}: {{ $x }}\n{{- end }}",
    "case $1 in\n  a) { echo ${x}; } ;;\nesac",
    "  leading spaces {x}\n\ttab {y}\n\n\nblank lines {z}",
    "Windows {x}\r\nline {y}\r\nends {z}",
    "{a\nb}\n{{a\n}}",
    "%%html\n<b>{x}</b>\n%magic {y}\n!ls {z}\n?help {w}",
    "{x:\n1}",
    'name: ${{ github.ref }}\nrun: |\n  echo "{x}" ${HOME}',
    "Ünïcödé {ключ}\n数式 {値}\n\u202e{rtl}\u202c\u200b{zwsp}",
    "\\{x\\} \\\\{x}\\\\\n'{x}' \"{x}\" '''{x}''' `{x}` ```{x}```",
    "query {\n  user(id: 1) {\n    name\n    posts { title }\n  }\n}",
    'resource "x" "y" {\n  name = "${var.name}"\n  tags = { a = 1 }\n}',
    "SELECT '{1,2}'::int[], '{\"a\": 1}'::jsonb -> 'a';\n-- {comment}",
]
"""Those of several lines."""

PROMPTS = [*LINES, *CELLS]
