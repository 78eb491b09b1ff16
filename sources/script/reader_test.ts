import assert from "node:assert/strict";
import { createParseBudget, createWorkBudget } from "../page/parse_budget.ts";
import { tags } from "../page/tags.ts";
import { elementLookup } from "./elements.ts";
import { ScriptReader } from "./reader.ts";
import { ScriptRecord, ScriptScope, VIA } from "./record.ts";
import { isObject, Pattern, Unresolved, type Value } from "./values.ts";

function read(script: string, html = ""): ScriptRecord {
  const work = createWorkBudget(createParseBudget());
  const [record, scope] = [new ScriptRecord(), new ScriptScope()];
  const elements = elementLookup([...tags(html)], work);
  const context = { record, scope, work, elements, hoisted: new Map(), applications: { left: 50_000, depth: 0 } };
  new ScriptReader(script, context).read();
  record.settle(scope, work);
  return record;
}

/** The first argument of the call of `use`. */
function used(script: string, html?: string): Value | undefined {
  return read(script, html).calls.find(({ path }) => path === "use")?.args[0];
}

function assertUsed(script: string, expected: unknown, html?: string): void {
  assert.deepEqual(JSON.parse(JSON.stringify(used(script, html))), expected, script);
}

Deno.test("script reader: literals → their values", () => {
  assertUsed(`use("a\\x2fb\\u0026\\u{63}\\n")`, "a/b&c\n");
  assertUsed("use(`a${1}b${`c`}`)", "a1bc");
  assertUsed(`use([1, -2, .5, true, !0, !1, null,])`, [1, -2, 0.5, true, true, false, null]);
  assertUsed(
    `use({a: 1, 'b-c': {"d": []}, 3: "x", ["e"]: 2, f() { return 1 }, get g() { return 2 }, async h() {}}.a)`,
    1,
  );
  assertUsed(`use(/* no */ "x" // no\n)`, "x");
});

Deno.test("script reader: concatenations and string methods → their result", () => {
  assertUsed(`var a = "x", b = a + "/" + 1; b += ".mp4"; use(b)`, "x/1.mp4");
  assertUsed(`use("4u3m.a".split("").reverse().join(""))`, "a.m3u4");
  assertUsed(`use(["a", "b"].join("/").replace("a", "c").toUpperCase())`, "C/B");
  assertUsed(`use("a_b-c".replace(/[-_]/g, "/"))`, "a/b/c");
  assertUsed(`use("xxhttps".substring(2).slice(0, -1).concat("!"))`, "http!");
  assertUsed(`use(String.fromCharCode(104, 105))`, "hi");
  assertUsed(`use(decodeURIComponent("a%2Fb") + decodeURIComponent(escape(atob("w6k="))))`, "a/bé");
  assertUsed(`use(atob("aGk") + window.atob('aGk='))`, "hihi");
  assertUsed(`use(JSON.parse('{"a":["b"]}').a[0])`, "b");
  assertUsed(`use(new URL("/a", "https://b.test/c").href)`, "https://b.test/a");
});

Deno.test("script reader: variables, members, functions → also if defined later", () => {
  assertUsed(`window.config = {a: {b: "x"}}; use(config.a["b"])`, "x");
  assertUsed(`use(f()); function f() { var y = 1; return "x" }`, "x");
  assertUsed(`use({file: url}); var url = "x"`, { file: "x" });
  assertUsed(`const f = (a) => "x"; use(f(1))`, "x");
  assertUsed(`var o = {}; o.file = "x"; use(o)`, { file: "x" });
  assertUsed(`use(Object.assign({}, {a: 1}, {b: 2}))`, { a: 1, b: 2 });
  assertUsed(`var s = {a: 1}; use({...s, b: 2})`, { a: 1, b: 2 });
});

Deno.test("script reader: functions with arguments → what they return for them", () => {
  assertUsed(`function d(s) { return atob(s.split("").reverse().join("")) } use(d("kGa"))`, "hi");
  assertUsed(`use(d("kGa")); function d(s) { return atob(s.split("").reverse().join("")) }`, "hi");
  assertUsed(`const add = (a, b = 1) => a + "/" + b; use(add("x", 2))`, "x/2");
  assertUsed(`use([105, 106].map(function (c) { return String.fromCharCode(c - 1) }).join(""))`, "hi");
  assertUsed(`use(String.fromCharCode(...[104, 52 * 2 + 1]))`, "hi");
  assertUsed(`function play(url) { use({ file: url }) } play("x.mp4")`, {
    file: { path: "url", isParameter: true, target: "" },
  });
  const { calls } = read(`function play(url) { use({ file: url }) } play("x.mp4")`);
  assert.deepEqual(JSON.stringify(calls.filter(({ path }) => path === "use").at(-1)?.args), `[{"file":"x.mp4"}]`);
  assertUsed(`function f(x) { return f(x + "a") } use(f("b") || "end")`, "end");
});

Deno.test("script reader: variable of a function → not of another one", () => {
  const value = used(`function a() { var url = "trailer.mp4"; go(url) } function b() { use(url) }`);
  assert.ok(value instanceof Unresolved);
  assertUsed(`var url = "x"; function a() { var url = "trailer.mp4"; let c = 1, d = 2 } use(url)`, "x");
  assertUsed(`(function () { use(get() + v); var v = "y"; function get() { return "x" } })()`, "xy");
});

Deno.test("script reader: conditions → the part that is known", () => {
  assertUsed(`var l = {b: "x"}; use(l.a || l.b)`, "x");
  assertUsed(`use(mobile ? "low" : "high")`, "low");
  assertUsed(`use(mobile ? other : "high")`, "high");
  assertUsed(`use(false ? "a" : "b")`, "b");
});

Deno.test("script reader: calls in functions, callbacks and classes → recorded", () => {
  for (
    const script of [
      `$(function () { use("x") })`,
      `a.on("b", (c) => { use("x") })`,
      `(function () { if (a) { for (;;) use("x") } })()`,
      `class A { b() { use("x") } }`,
      `var a = { b: function () { use("x"); }, c: 1 }`,
      `try { a() } catch (e) { use("x") } finally {}`,
      `label: while (a < b / 2) use("x")`,
      `if (/["']/.test(a)) use("x")`,
      `export default async () => await use("x")`,
    ]
  ) assertUsed(script, "x");
});

Deno.test("script reader: invalid or cut off → what is readable", () => {
  assertUsed(`var a = {{ placeholder }}; use("x")`, "x");
  assertUsed(`)]} use("x") ({[`, "x");
  assertUsed(`use({file: "x", label: `, { file: "x", label: { path: "", isParameter: false, target: "" } });
  assertUsed(`var a = 'unclosed\nuse("x")`, "x");
});

Deno.test("script reader: comments and strings → no calls of theirs", () => {
  const script =
    `// use("a")\n/* use("b") */ var s = 'use("c")'; <!-- use("d")\n var t = \`use("e")\`, r = /use("f")/;`;
  assert.deepEqual(read(script).calls, []);
});

Deno.test("script reader: parameter with a variable's name → not its value", () => {
  const value = used(`var url = "x"; function play(url) { use(url) }`);
  assert.ok(value instanceof Unresolved && value.isParameter);
  assertUsed(`var url = "x"; function play(url) {} use(url)`, "x");
});

Deno.test("script reader: unknown parts → a pattern with their names", () => {
  const value = used(`fetch("/t").then(function (t) { use("/s?token=" + t.data.token + "&v=1") })`);
  assert.ok(value instanceof Pattern);
  assert.deepEqual(value.parts.map((part) => part instanceof Unresolved ? part.path : part), [
    "/s?token=",
    "t.data.token",
    "&v=1",
  ]);
});

Deno.test("script reader: elements of the page → attributes and text", () => {
  const html = `<meta name="csrf-token" content="t1"><div id="p" class="a b" data-file-id="7">hello</div>`;
  assertUsed(`use(document.querySelector('meta[name="csrf-token"]').getAttribute("content"))`, "t1", html);
  assertUsed(`use($("#p").data("file-id") + $('div.b').attr('class'))`, "7a b", html);
  assertUsed(`const el = document.getElementById("p"); use(el.dataset.fileId + el.textContent)`, "7hello", html);
  assertUsed(
    `use(document.getElementsByName("csrf-token")[0].content + document.body.dataset.x)`,
    "t1y",
    `<body data-x=y>${html}`,
  );
});

Deno.test("script reader: how a value came about → recorded with the call", () => {
  const { calls } = read(`var a = atob("eA=="); use(a); use("x"); use(JSON.parse("1"))`);
  assert.deepEqual(calls.filter(({ path }) => path === "use").map(({ via }) => via), [VIA.variable, 0, VIA.json]);
});

Deno.test("script reader: __proto__ and prototypes → data, nothing is changed", () => {
  const value = used(`var a = {"__proto__": {"x": 1}}; a.constructor.prototype.y = 2; use(a)`);
  assert.ok(isObject(value!));
  assert.equal(({} as Record<string, unknown>).y, undefined);
  assert.equal(({} as Record<string, unknown>).x, undefined);
});
