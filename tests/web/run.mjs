// Tests the playground, and runs the tests of `conformance`, in headless Chromium. `scripts/test-web` builds both and
// calls this.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, constants, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

process.chdir(fileURLToPath(new URL("../..", import.meta.url)));
const ARTIFACTS = "target/web-artifacts";
mkdirSync(ARTIFACTS, { recursive: true });
/** For each test, the playground's build among them. */
const PATIENCE = 20 * 60_000;

// ---- Tests ----

test("the tests that run everywhere", { timeout: PATIENCE }, async (t) => {
  const { page, complaints } = await open(t, await conformance(t), WEBGPU);
  await results(t, page);
  assert.deepEqual(complaints, []);
});

test("the CPU path in a page without WebGPU", { timeout: PATIENCE }, async (t) => {
  const url = await conformance(t, "--include-ignored", "--exact", "browser::without_webgpu");
  const { page, complaints } = await open(t, insecure(url), WEBGPU);
  assert.equal(await page.evaluate(() => navigator.gpu), undefined);
  await results(t, page);
  assert.deepEqual(complaints, []);
});

test("a GPU process that ends", { timeout: PATIENCE }, async (t) => {
  const url = await conformance(t, "--include-ignored", "--exact", "browser::the_gpu_process_ends");
  const { page, browser, complaints } = await open(t, url, WEBGPU);
  await page.locator("#output", { hasText: "running 1 test" }).waitFor();
  await frames(page);
  await crash(browser);
  await results(t, page);
  const errors = complaints.filter((text) => text.startsWith("error"));
  assert.deepEqual(errors, []);
});

test("the playground", { timeout: PATIENCE }, async (t) => {
  const url = await serve(t, "scripts/web", ["serve", "0"]);
  await t.test("computes what the formulas say, and moves with the slider", (t) => curves(t, url));
  await t.test("computes and draws a field in every frame", (t) => field(t, url));
  await t.test("compares the GPU with the CPU", (t) => comparison(t, url));
  await t.test("shows the panel that the address names", (t) => panels(t, url));
  await t.test("says that the GPU was lost", async (t) => {
    const { page, browser } = await open(t, url, WEBGPU);
    await started(page);
    await crash(browser);
    const told = page.getByRole("heading", { name: "The GPU was lost" });
    await told.waitFor();
    await frames(page);
    assert(await told.isVisible(), "something else is told");
    await page.screenshot({ path: `${ARTIFACTS}/gpu-lost.png` });
  });
  await t.test("says that there is no WebGPU", async (t) => {
    const { page, complaints } = await open(t, insecure(url), WEBGPU);
    await page.getByRole("heading", { name: "This browser has no WebGPU here" }).waitFor();
    await page.screenshot({ path: `${ARTIFACTS}/no-webgpu.png` });
    assert.deepEqual(complaints, []);
  });
  await t.test("says that there is no adapter", async (t) => {
    const { page, complaints } = await open(t, url, []);
    await page.getByRole("heading", { name: "WebGPU finds no GPU" }).waitFor();
    await page.screenshot({ path: `${ARTIFACTS}/no-adapter.png` });
    assert.deepEqual(complaints, ["warning: No available adapters."]);
  });
});

async function curves(t, url) {
  const { page, complaints } = await open(t, url, WEBGPU);
  await started(page);
  const one = await plotted(page);
  assert.equal(one.alpha, 1);
  const before = await pixels(page, PICTURE, "curves");
  for (const [name, color] of Object.entries(LINES)) {
    const drawn = before.colors[color] ?? 0;
    assert(drawn > 300, `${name} has ${drawn} pixels`);
  }

  // With the mouse.
  const [left, top, , bottom] = await page.evaluate(() => window.playground.slider());
  const y = (top + bottom) / 2;
  await page.mouse.move(left + 80, y);
  await page.mouse.down();
  for (const x of [120, 160, 200]) await page.mouse.move(left + x, y);
  await page.mouse.up();
  const more = await plotted(page);
  assert(more.alpha > 2, `alpha is ${more.alpha}`);
  const least = (curve) => Math.min(...curve);
  assert(least(more.curves[0]) < 2 * least(one.curves[0]), "ELU went down with alpha");
  assert.deepEqual(more.curves[2], one.curves[2], "SELU has an alpha of its own");
  const after = await pixels(page, PICTURE, "curves-moved");
  assert(difference(before, after) > 0.005, "the curves did not move in the picture");

  // With the keyboard. The slider has the focus since the mouse released it.
  await page.keyboard.press("ArrowRight", { delay: 100 });
  const most = await plotted(page);
  assert(most.alpha > more.alpha, `${most.alpha} is not more than ${more.alpha}`);
  assert(least(most.curves[0]) < least(more.curves[0]), "ELU went down further");

  await page.emulateMedia({ colorScheme: "dark" });
  await frames(page);
  await page.screenshot({ path: `${ARTIFACTS}/curves-dark.png` });
  assert.deepEqual(complaints, []);
}

async function field(t, url) {
  const { page, complaints } = await open(t, `${url}/#field`, WEBGPU);
  await started(page);
  const one = await pixels(page, PICTURE, "field");
  assert(Object.keys(one.colors).length > 100, "a field has many colours");
  await frames(page);
  assert(difference(one, await pixels(page, PICTURE)) > 0.1, "nothing moves");
  await page.emulateMedia({ colorScheme: "dark" });
  await frames(page);
  await page.screenshot({ path: `${ARTIFACTS}/field-dark.png` });
  assert.deepEqual(complaints, []);
}

async function panels(t, url) {
  const { page, complaints } = await open(t, `${url}/#field`, WEBGPU);
  await started(page);
  const shown = () => page.evaluate(() => window.playground.panel());
  assert.equal(await shown(), "field");
  for (const panel of ["comparison", "curves"]) {
    await page.evaluate((hash) => (location.hash = hash), panel);
    await frames(page);
    assert.equal(await shown(), panel);
  }
  assert.deepEqual(complaints, []);
}

async function comparison(t, url) {
  const { page, complaints } = await open(t, `${url}/#comparison`, WEBGPU);
  await started(page);
  await page.mouse.click(45, 62);
  await page.evaluate(() => {
    let last = performance.now();
    window.start = last;
    window.longest = 0;
    (function frame(now) {
      window.longest = Math.max(window.longest, now - last);
      last = now;
      requestAnimationFrame(frame);
    })(last);
  });
  // The comparison fails if a result is off by more than 1 ULP.
  await page.waitForFunction(() => window.playground.compared() === 1, null, { timeout: 300_000 });
  await frames(page);
  const [longest, whole] = await page.evaluate(() => [window.longest, performance.now() - window.start]);
  assert(longest < whole / 3, `no frame for ${longest} ms of ${whole}`);
  await page.screenshot({ path: `${ARTIFACTS}/comparison.png` });
  await page.emulateMedia({ colorScheme: "dark" });
  await frames(page);
  await page.screenshot({ path: `${ARTIFACTS}/comparison-dark.png` });
  assert.deepEqual(complaints, []);
}

// ---- Pages and servers ----

// Everything uses SwiftShader. If the page were drawn by another adapter than WebGPU's, Chromium would destroy the
// device.
const WEBGPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--use-angle=vulkan",
];

/** A browser with a page, and what it complained of. */
async function open(t, url, args) {
  const hosts = "--host-resolver-rules=MAP elsewhere.test 127.0.0.1";
  const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath: program(), args: [hosts, ...sandbox, ...args] });
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1100, height: 720 } });
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // A message of wasm-bindgen's own test page.
    const known = text.startsWith("using deprecated parameters for the initialization function");
    if (["error", "warning"].includes(message.type()) && !known) {
      complaints.push(`${message.type()}: ${text}`);
    }
  });
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  await page.goto(url);
  return { browser, page, complaints };
}

/** Browsers keep WebGPU from pages that come neither by https nor from this machine. */
function insecure(url) {
  return url.replace("127.0.0.1", "elsewhere.test");
}

/** Chromium or Chrome, the first on the path. */
function program() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const paths = process.env.PATH.split(delimiter);
  const found = names.flatMap((name) => paths.map((path) => join(path, name))).find(isExecutable);
  assert(found, `none of ${names.join(", ")} is on the path`);
  return found;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts a server, and gives the address that it prints. */
async function serve(t, command, args, env = {}) {
  const server = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => server.kill());
  let said = "";
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${said}`)));
    for (const stream of [server.stdout, server.stderr]) {
      stream.on("data", (data) => {
        said += data;
        const address = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
        if (address) resolve(address[0]);
      });
    }
  });
}

/** The page of wasm-bindgen's own runner. */
function conformance(t, ...args) {
  const wasm = "target/wasm32-unknown-unknown/release/conformance_web.wasm";
  const env = {
    NO_HEADLESS: "1",
    WASM_BINDGEN_TEST_ADDRESS: "127.0.0.1:0",
    WASM_BINDGEN_TEST_NO_ORIGIN_ISOLATION: "1",
  };
  return serve(t, "target/tools/bin/wasm-bindgen-test-runner", [wasm, ...args], env);
}

/** Ends the process that all of its WebGPU is in. */
async function crash(browser) {
  const session = await browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess");
}

/** Waits for its tests, and reports each. */
async function results(t, page) {
  await page.locator("#output", { hasText: "test result:" }).waitFor({ timeout: 900_000 });
  const output = await page.locator("#output").innerText();
  const tests = [...output.matchAll(/^test (\S+) \.\.\. (\w+)/gm)].filter(([, , result]) => result !== "ignored");
  assert(tests.length > 0, output);
  for (const [, name, result] of tests) {
    await t.test(name, () => assert.equal(result, "ok"));
  }
  assert.match(output, /^test result: ok\./m, output);
}

// ---- The playground ----

/** Within the plot, and within the field. */
const PICTURE = { x: 240, y: 120, width: 540, height: 540 };

/** As in palette.rs, on light. */
const LINES = { ELU: "0,114,178", "ELU's gradient": "213,94,0", SELU: "0,140,105", CELU: "180,80,140" };

/** What is shown there, and how many pixels of it have which colour. A picture of all is kept if it has a name. */
async function pixels(page, { x, y, width, height }, name) {
  const path = name && `${ARTIFACTS}/${name}.png`;
  const png = (await page.screenshot({ path })).toString("base64");
  const place = [x, y, width, height];
  const rgb = await page.evaluate(async ([png, place]) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(...place);
    return Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join());
  }, [png, place]);
  const colors = {};
  for (const color of rgb) colors[color] = (colors[color] ?? 0) + 1;
  return { rgb, colors };
}

/** The part of the pixels that have another colour. */
function difference(one, other) {
  return one.rgb.filter((color, i) => color !== other.rgb[i]).length / one.rgb.length;
}

async function started(page) {
  await page.waitForFunction(() => window.playground, null, { timeout: 60_000 });
  await frames(page);
}

/** Some frames later, however slow they are. */
async function frames(page) {
  for (let frame = 0; frame < 10; frame += 1) {
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
}

function alphaOf(page) {
  return page.evaluate(() => window.playground.alpha());
}

/** Reads back what is plotted, and checks every value. */
async function plotted(page) {
  await frames(page);
  const alpha = await alphaOf(page);
  const values = await page.evaluate(async () => [...(await window.playground.plotted())]);
  const points = values.length / 5;
  const [x, ...curves] = [0, 1, 2, 3, 4].map((i) => values.slice(i * points, (i + 1) * points));
  const rises = x.every((here, i) => i === 0 || here > x[i - 1]);
  assert(rises && x[0] < -4 && x[points - 1] > 2, `x goes from ${x[0]} to ${x[points - 1]}`);
  formulas(alpha).forEach(([name, formula, mostUlp], i) => {
    curves[i].forEach((y, j) => {
      const exact = formula(x[j]);
      const ulp = Math.abs(y - exact) / spacing(exact);
      assert(ulp <= mostUlp, `${name} of ${x[j]} with alpha ${alpha} is ${exact}, not ${y}: ${ulp} ULP off`);
    });
  });
  return { alpha, curves };
}

/** The curves in the playground's order. Factors are rounded as the kernel has them. */
function formulas(alpha) {
  const [a, scale] = [Math.fround(alpha), 1.0507009873554805];
  const [positive, negative] = [Math.fround(scale), Math.fround(scale * 1.6732632423543772)];
  const inverse = Math.fround(1 / alpha);
  return [
    ["ELU", (x) => (x > 0 ? x : a * Math.expm1(x)), 1],
    ["ELU's gradient", (x) => (x > 0 ? 1 : a * Math.exp(x)), 1],
    ["SELU", (x) => (x > 0 ? positive * x : negative * Math.expm1(x)), 1],
    ["CELU", (x) => (x > 0 ? x : a * Math.expm1(inverse * x)), 2],
  ];
}

/** The distance from one float32 to the next there. */
function spacing(value) {
  const bits = new Int32Array(1);
  const float = new Float32Array(bits.buffer);
  float[0] = Math.abs(value);
  const here = float[0];
  bits[0] += 1;
  return float[0] - here;
}
