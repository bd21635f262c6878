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
/** The timeout of each test, in milliseconds. It includes the playground's build. */
const TIMEOUT = 20 * 60_000;

// ---- Tests ----

test("the tests of conformance pass", { timeout: TIMEOUT }, async (t) => {
  const { page, complaints } = await open(t, await conformance(t), WEBGPU);
  await results(t, page);
  assert.deepEqual(complaints, []);
});

test("the CPU path works in a page without WebGPU", { timeout: TIMEOUT }, async (t) => {
  const url = await conformance(t, "--include-ignored", "--exact", "browser::the_cpu_path_works_without_webgpu");
  const { page, complaints } = await open(t, insecure(url), WEBGPU);
  assert.equal(await page.evaluate(() => navigator.gpu), undefined);
  await results(t, page);
  assert.deepEqual(complaints, []);
});

test("a device is lost when the GPU process ends", { timeout: TIMEOUT }, async (t) => {
  const url = await conformance(t, "--include-ignored", "--exact", "browser::calls_return_device_lost_after_the_gpu_process_ends");
  const { page, browser, complaints } = await open(t, url, WEBGPU);
  await page.locator("#output", { hasText: "running 1 test" }).waitFor();
  await frames(page);
  await crash(browser);
  await results(t, page);
  const errors = complaints.filter((text) => text.startsWith("error"));
  assert.deepEqual(errors, []);
});

test("the playground works", { timeout: TIMEOUT }, async (t) => {
  const url = await serve(t, "scripts/web", ["serve", "0"]);
  await t.test("plots the values of the formulas, and follows the slider", (t) => curves(t, url));
  await t.test("computes and draws a field in every frame", (t) => field(t, url));
  await t.test("compares the GPU with the CPU", (t) => comparison(t, url));
  await t.test("shows the panel that the address names", (t) => panels(t, url));
  await t.test("shows that the GPU was lost", async (t) => {
    const { page, browser } = await open(t, url, WEBGPU);
    await started(page);
    await crash(browser);
    const heading = page.getByRole("heading", { name: "The GPU was lost" });
    await heading.waitFor();
    await frames(page);
    assert(await heading.isVisible(), "another message has replaced it");
    await page.screenshot({ path: `${ARTIFACTS}/gpu-lost.png` });
  });
  await t.test("shows that WebGPU is not available", async (t) => {
    const { page, complaints } = await open(t, insecure(url), WEBGPU);
    await page.getByRole("heading", { name: "WebGPU is not available" }).waitFor();
    await page.screenshot({ path: `${ARTIFACTS}/no-webgpu.png` });
    assert.deepEqual(complaints, []);
  });
  await t.test("shows that no adapter was found", async (t) => {
    const { page, complaints } = await open(t, url, []);
    await page.getByRole("heading", { name: "No GPU found" }).waitFor();
    await page.screenshot({ path: `${ARTIFACTS}/no-adapter.png` });
    assert.deepEqual(complaints, ["warning: No available adapters."]);
  });
});

async function curves(t, url) {
  const { page, complaints } = await open(t, url, WEBGPU);
  await started(page);
  const initial = await plotted(page);
  assert.equal(initial.alpha, 1);
  const before = await pixels(page, PICTURE, "curves");
  for (const [name, color] of Object.entries(LINES)) {
    const drawn = before.colors[color] ?? 0;
    assert(drawn > 300, `the line of ${name} has ${drawn} pixels`);
  }

  // With the mouse. The slider's handle is about 80 pixels from its left end for alpha 1.
  const [left, top, , bottom] = await page.evaluate(() => window.playground.slider());
  const y = (top + bottom) / 2;
  await page.mouse.move(left + 80, y);
  await page.mouse.down();
  for (const x of [120, 160, 200]) await page.mouse.move(left + x, y);
  await page.mouse.up();
  const dragged = await plotted(page);
  assert(dragged.alpha > 2, `alpha is ${dragged.alpha}`);
  const lowest = (curve) => Math.min(...curve);
  assert(lowest(dragged.curves[0]) < 2 * lowest(initial.curves[0]), "ELU did not follow alpha");
  assert.deepEqual(dragged.curves[2], initial.curves[2], "SELU changed, although it has its own alpha");
  const after = await pixels(page, PICTURE, "curves-moved");
  assert(difference(before, after) > 0.005, "the curves did not move in the picture");

  // With the keyboard. The slider has the focus since the mouse released it.
  await page.keyboard.press("ArrowRight", { delay: 100 });
  const stepped = await plotted(page);
  assert(stepped.alpha > dragged.alpha, `${stepped.alpha} is not more than ${dragged.alpha}`);
  assert(lowest(stepped.curves[0]) < lowest(dragged.curves[0]), "ELU did not follow alpha");

  await page.emulateMedia({ colorScheme: "dark" });
  await frames(page);
  await page.screenshot({ path: `${ARTIFACTS}/curves-dark.png` });
  assert.deepEqual(complaints, []);
}

async function field(t, url) {
  const { page, complaints } = await open(t, `${url}/#field`, WEBGPU);
  await started(page);
  const before = await pixels(page, PICTURE, "field");
  const count = Object.keys(before.colors).length;
  assert(count > 100, `the field has only ${count} colours`);
  await frames(page);
  assert(difference(before, await pixels(page, PICTURE)) > 0.1, "the field does not move");
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
  await page.mouse.click(45, 62); // the button "Compare"
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
  await page.waitForFunction(() => window.playground.comparison_progress() === 1, null, { timeout: 300_000 });
  await frames(page);
  const [longest, total] = await page.evaluate(() => [window.longest, performance.now() - window.start]);
  assert(longest < total / 3, `no frame for ${longest} ms of ${total} ms`);
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

/** Opens a browser with a page, and collects the page's errors and warnings in `complaints`. */
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

/**
 * Returns the same address with another host name, which makes WebGPU unavailable in the page: browsers enable it only
 * in secure contexts, which are pages that come over https or from this machine.
 */
function insecure(url) {
  return url.replace("127.0.0.1", "elsewhere.test");
}

/** Returns the path of the first Chromium or Chrome in PATH. */
function program() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const paths = process.env.PATH.split(delimiter);
  const path = names.flatMap((name) => paths.map((path) => join(path, name))).find(isExecutable);
  assert(path, `none of ${names.join(", ")} is in PATH`);
  return path;
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts a server, and returns the address that it prints. */
async function serve(t, command, args, env = {}) {
  const server = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => server.kill());
  let output = "";
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.on("exit", (code) => reject(new Error(`${command} exited with code ${code}: ${output}`)));
    for (const stream of [server.stdout, server.stderr]) {
      stream.on("data", (data) => {
        output += data;
        const address = /http:\/\/127\.0\.0\.1:\d+/.exec(output);
        if (address) resolve(address[0]);
      });
    }
  });
}

/** Serves the tests of `conformance` with wasm-bindgen's test runner, and returns the address. */
function conformance(t, ...args) {
  const wasm = "target/wasm32-unknown-unknown/release/conformance_web.wasm";
  const env = {
    NO_HEADLESS: "1",
    WASM_BINDGEN_TEST_ADDRESS: "127.0.0.1:0",
    WASM_BINDGEN_TEST_NO_ORIGIN_ISOLATION: "1",
  };
  return serve(t, "target/tools/bin/wasm-bindgen-test-runner", [wasm, ...args], env);
}

/** Crashes the GPU process, which runs all WebGPU of the browser. */
async function crash(browser) {
  const session = await browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess");
}

/** Waits until the tests in the page end, and reports the result of each as a subtest. */
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

/** An area inside the plot, and inside the field, in pixels. */
const PICTURE = { x: 240, y: 120, width: 540, height: 540 };

/** The colours of the lines in the light theme. Must equal those in palette.rs. */
const LINES = { ELU: "0,114,178", "ELU's gradient": "213,94,0", SELU: "0,140,105", CELU: "180,80,140" };

/**
 * Returns the pixels of an area, and the number of pixels of each colour. If `name` is given, a screenshot of the whole
 * page is saved under this name.
 */
async function pixels(page, { x, y, width, height }, name) {
  const path = name && `${ARTIFACTS}/${name}.png`;
  const png = (await page.screenshot({ path })).toString("base64");
  const area = [x, y, width, height];
  const rgb = await page.evaluate(async ([png, area]) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(...area);
    return Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join());
  }, [png, area]);
  const colors = {};
  for (const color of rgb) colors[color] = (colors[color] ?? 0) + 1;
  return { rgb, colors };
}

/** Returns the share of the pixels whose colours differ. */
function difference(one, other) {
  return one.rgb.filter((color, i) => color !== other.rgb[i]).length / one.rgb.length;
}

/** Waits until the playground has started and drawn its first frames. */
async function started(page) {
  await page.waitForFunction(() => window.playground, null, { timeout: 60_000 });
  await frames(page);
}

/** Waits for ten frames, however slow they are. */
async function frames(page) {
  for (let frame = 0; frame < 10; frame += 1) {
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
}

function alphaOf(page) {
  return page.evaluate(() => window.playground.alpha());
}

/** Reads back the plotted points, and checks every value against its formula. */
async function plotted(page) {
  await frames(page);
  const alpha = await alphaOf(page);
  const values = await page.evaluate(async () => [...(await window.playground.plotted())]);
  const points = values.length / 5;
  const [x, ...curves] = [0, 1, 2, 3, 4].map((i) => values.slice(i * points, (i + 1) * points));
  const rises = x.every((value, i) => i === 0 || value > x[i - 1]);
  assert(rises && x[0] < -4 && x[points - 1] > 2, `x goes from ${x[0]} to ${x[points - 1]}`);
  formulas(alpha).forEach(([name, formula], i) => {
    curves[i].forEach((y, j) => {
      const exact = formula(x[j]);
      const ulp = Math.abs(y - exact) / spacing(exact);
      assert(ulp <= 1, `${name}(${x[j]}) with alpha ${alpha} is ${y}, exact ${exact}: off by ${ulp} ULP`);
    });
  });
  return { alpha, curves };
}

/**
 * Returns the name and the formula of each curve, in the playground's order. The factors are rounded to float32, as the
 * kernel rounds them.
 */
function formulas(alpha) {
  const [a, scale] = [Math.fround(alpha), 1.0507009873554805];
  const [positive, negative] = [Math.fround(scale), Math.fround(scale * 1.6732632423543772)];
  const inverse = Math.fround(1 / alpha);
  return [
    ["ELU", (x) => (x > 0 ? x : a * Math.expm1(x))],
    ["ELU's gradient", (x) => (x > 0 ? 1 : a * Math.exp(x))],
    ["SELU", (x) => (x > 0 ? positive * x : negative * Math.expm1(x))],
    ["CELU", (x) => (x > 0 ? x : a * Math.expm1(inverse * x))],
  ];
}

/** Returns the distance from `value` to the next float32. */
function spacing(value) {
  const bits = new Int32Array(1);
  const float = new Float32Array(bits.buffer);
  float[0] = Math.abs(value);
  const rounded = float[0];
  bits[0] += 1;
  return float[0] - rounded;
}
