// Tests the playground, and runs the tests of `conformance`, in headless Chromium. `scripts/test-web` builds both and
// calls this.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

process.chdir(fileURLToPath(new URL("../..", import.meta.url)));
const ARTIFACTS = "target/web-artifacts";
/** Pictures of the playground that the tests compare. With PLAYGROUND_PICTURE=keep, they are replaced instead. */
const PICTURES = "tests/web/pictures";
/** The largest share of the pixels that may differ in two pictures. native.rs has the same limit. */
const TOLERANCE = 0.0002;
const SOURCE = "https://example.org/wgpu-elu";
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
  const url = await serve(t, "scripts/web", ["serve", "0"], { PLAYGROUND_SOURCE: SOURCE });
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
  await t.test("takes any alpha", (t) => alphas(t, url));
  await t.test("keeps the curves in sight, and resets the view", (t) => views(t, url));
  await t.test("zooms and moves with fingers", (t) => touches(t, url));
  await t.test("rounds to the nearest float", (t) => nearest(t, url));
  await t.test("shows single floats", (t) => floats(t, url));
  await t.test("looks as before on screens of several sizes", (t) => pictures(t, url));
  await t.test("shows the progress of the download", (t) => progress(t, url));
  await t.test("links to the README and the source", (t) => links(t, url));
  await t.test("computes on the CPU and draws with WebGL in a page without WebGPU", (t) =>
    withoutWebgpu(t, insecure(url), WEBGPU, "Browsers offer WebGPU only to pages from https or localhost"));
  await t.test("computes on the CPU and draws with WebGL if no adapter was found", (t) =>
    withoutWebgpu(t, url, WEBGL, "The browser found no GPU for WebGPU"));
});

async function curves(t, url) {
  const { page, complaints } = await open(t, url, WEBGPU);
  await started(page);
  const initial = await plotted(page);
  assert.equal(initial.alpha, 1);
  assert.match(await page.evaluate(() => window.playground.device()), /swiftshader.* \(WebGPU, software\)/i);
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

async function alphas(t, url) {
  const { page, complaints } = await open(t, url, WEBGPU);
  await started(page);
  for (const [text, alpha] of [["-1", -1], ["50", 50], ["1e-9", 1e-9], ["0", 0]]) {
    await type(page, text);
    assert.equal((await plotted(page)).alpha, alpha);
    // The line of ELU is in sight, and a red message says why CELU is missing.
    const { colors } = await pixels(page, { x: 0, y: 76, width: 900, height: 640 }, `alpha${text}`);
    assert((colors[LINES.ELU] ?? 0) > 300, `alpha ${text}: ELU is not drawn`);
    assert.equal((colors["255,0,0"] ?? 0) > 50, alpha <= 0, `alpha ${text}: the message about CELU`);
  }
  assert.deepEqual(complaints, []);
}

async function views(t, url) {
  const { page, complaints } = await open(t, url, WEBGPU);
  await started(page);
  const bounds = () => page.evaluate(() => [...window.playground.bounds()]);
  const [, reset, plot] = await places(page);
  const initial = await bounds();
  const middle = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2];
  const moves = [
    [plot.left + 20, plot.top + 20, -3000],
    [plot.right - 20, plot.bottom - 20, 9000],
    [plot.right - 20, plot.bottom - 20, 0],
  ];
  for (const [x, y, wheel] of moves) {
    const before = await bounds();
    await page.mouse.move(x, y);
    if (wheel) {
      await page.mouse.wheel(0, wheel);
    } else {
      // From the corner to the opposite one, three times.
      for (let i = 0; i < 3; i += 1) {
        await page.mouse.move(x, y);
        await page.mouse.down();
        await page.mouse.move(2 * middle[0] - x, 2 * middle[1] - y, { steps: 5 });
        await page.mouse.up();
      }
    }
    // The wheel's effect is spread over several frames.
    for (let i = 0; i < 3; i += 1) await frames(page);
    assert.notDeepEqual(await bounds(), before);
    await page.mouse.move(5, 5);
    const { colors } = await pixels(page, PICTURE, "view");
    assert((colors[LINES.ELU] ?? 0) > 50, `after ${[x, y, wheel]}, ELU is out of sight: ${await bounds()}`);
  }
  await page.mouse.click(...center(reset));
  await frames(page);
  assert.deepEqual(await bounds(), initial);
  await page.mouse.move(...middle);
  await page.mouse.wheel(0, -500);
  for (let i = 0; i < 3; i += 1) await frames(page);
  assert.notDeepEqual(await bounds(), initial);
  await page.mouse.dblclick(...middle);
  await frames(page);
  assert.deepEqual(await bounds(), initial);
  assert.deepEqual(complaints, []);
}

async function touches(t, url) {
  const screen = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 3, hasTouch: true };
  // The emulation alone does not change the canvas.
  const { page, complaints } = await open(t, url, [...WEBGPU, "--force-device-scale-factor=3"], screen);
  await started(page);
  const bounds = () => page.evaluate(() => [...window.playground.bounds()]);
  const [, reset, plot] = await places(page);
  const [x, y] = center(plot);
  const session = await page.context().newCDPSession(page);
  const touch = async (type, ...points) => {
    const touchPoints = points.map(([x, y], id) => ({ x, y, id }));
    await session.send("Input.dispatchTouchEvent", { type, touchPoints });
    // egui ends the drag of a finger that first rests for a while.
    if (type !== "touchStart") await frames(page);
  };

  const initial = await bounds();
  await touch("touchStart", [x - 30, y], [x + 30, y]);
  for (const reach of [40, 50, 60]) await touch("touchMove", [x - reach, y], [x + reach, y]);
  await touch("touchEnd");
  const zoomed = await bounds();
  const width = ([left, , right]) => right - left;
  const message = `the width is ${width(zoomed)} after a pinch, and was ${width(initial)}`;
  assert(width(zoomed) < 0.75 * width(initial), message);

  await touch("touchStart", [x, y]);
  for (const distance of [20, 40, 60]) await touch("touchMove", [x + distance, y]);
  await touch("touchEnd");
  const moved = await bounds();
  assert(moved[0] < zoomed[0] - 0.1 * width(zoomed), `the left end is ${moved[0]} after a drag, and was ${zoomed[0]}`);
  await page.screenshot({ path: `${ARTIFACTS}/touch.png` });

  await page.touchscreen.tap(...center(reset));
  await frames(page);
  assert.deepEqual(await bounds(), initial);
  assert.deepEqual(complaints, []);
}

async function nearest(t, url) {
  const { page, complaints } = await open(t, url, WEBGPU);
  await started(page);
  await type(page, "0.7");
  const differing = async () => {
    const { x, alpha, curves } = await plotted(page);
    const exact = formulas(alpha).map(([, formula]) => x.map((x) => Math.fround(formula(x))));
    return exact.flatMap((values, i) => values.filter((value, j) => value !== curves[i][j])).length;
  };
  assert.equal(await page.evaluate(() => window.playground.rounding()), "faithful");
  assert((await differing()) > 0, "faithful results are the nearest floats, too");
  const [nearest] = await places(page);
  await page.mouse.click(...center(nearest));
  await frames(page);
  assert.equal(await page.evaluate(() => window.playground.rounding()), "nearest");
  assert.equal(await differing(), 0);
  assert.deepEqual(complaints, []);
}

async function floats(t, url) {
  const { page, complaints } = await open(t, `${url}/#floats`, WEBGPU);
  await started(page);
  for (const alpha of [1, 0.3]) {
    await type(page, String(alpha));
    const [naive, faithful, nearest] = await page.evaluate(() => window.playground.errors());
    assert(naive > 2 && faithful <= 1 && nearest <= 0.5, `errors in ULP: ${[naive, faithful, nearest]}`);
  }
  await type(page, "nan");
  assert.deepEqual(await page.evaluate(() => [...window.playground.errors()]), [NaN, NaN, NaN]);
  assert.deepEqual(complaints, []);
}

async function pictures(t, url) {
  for (const [width, height] of [[1280, 800], [390, 844], [844, 390]]) {
    for (const colorScheme of ["light", "dark"]) {
      const { browser, page, complaints } = await open(t, "about:blank", WEBGPU);
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      // Some pictures are only saved: those of the field, because it moves, and most dark ones, because they show the
      // same layout.
      for (const panel of ["curves", "floats", "comparison", "field"]) {
        const name = `${panel}-${width}x${height}-${colorScheme}.png`;
        await page.goto("about:blank");
        await page.goto(`${url}/#${panel}`);
        await started(page);
        const png = await page.screenshot({ path: `${ARTIFACTS}/${name}` });
        if (panel === "field" && width === 390) await filled(page);
        if (panel === "field" || (colorScheme === "dark" && width !== 390)) continue;
        if (process.env.PLAYGROUND_PICTURE === "keep") writeFileSync(`${PICTURES}/${name}`, png);
        // The device's name depends on the browser.
        const [device] = await places(page, "bar");
        const share = await distance(page, png, readFileSync(`${PICTURES}/${name}`), device);
        assert(share <= TOLERANCE, `${ARTIFACTS}/${name} differs from ${PICTURES}/${name} in ${share} of the pixels`);
      }
      assert.deepEqual(complaints, []);
      await browser.close();
    }
  }
}

/** Checks that the field reaches the last row, and the last column beside its colour bar, on a screen of 390 x 844. */
async function filled(page) {
  // The margin is 8 pixels wide, and the colour bar 84, as in field.rs.
  for (const area of [{ x: 8, y: 834, width: 290, height: 1 }, { x: 296, y: 300, width: 1, height: 536 }]) {
    const count = Object.keys((await pixels(page, area)).colors).length;
    assert(count > 20, `${JSON.stringify(area)} has only ${count} colours`);
  }
}

async function progress(t, url) {
  const { page, complaints } = await open(t, "about:blank", WEBGPU);
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: 1e6, uploadThroughput: 1e6 });
  await page.goto(url);
  const message = page.getByText(/^Loading the playground: \d\.\d of \d\.\d MB$/);
  await message.waitFor();
  await page.screenshot({ path: `${ARTIFACTS}/download.png` });
  await started(page);
  assert(await message.isHidden());
  assert.deepEqual(complaints, []);
}

async function links(t, url) {
  const { page } = await open(t, url, WEBGPU);
  await page.context().route("https://example.org/**", (route) => route.fulfill({ body: "the source" }));
  for (const [place, address] of [[1, `${SOURCE}#readme`], [2, SOURCE]]) {
    await page.goto(url);
    await started(page);
    const bar = await places(page, "bar");
    await page.mouse.click(...center(bar[place]));
    await page.waitForURL(address);
  }
}

async function withoutWebgpu(t, url, args, reason) {
  const { page, complaints } = await open(t, url, args);
  await started(page);
  const line = await page.evaluate(() => window.playground.fallback());
  assert.equal(line, `${reason}, so the CPU computes and WebGL draws.`);
  assert.match(await page.evaluate(() => window.playground.device()), /^CPU \(SIMD128, /);
  // Chromium has only WebGL 1 with the arguments `WEBGPU`.
  const antialias = await page.evaluate(() => {
    const canvas = document.getElementById("canvas");
    const webgl = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
    return webgl.getContextAttributes().antialias;
  });
  assert.equal(antialias, false);
  await plotted(page);
  const { colors } = await pixels(page, PICTURE, "webgl");
  for (const [name, color] of Object.entries(LINES)) {
    assert((colors[color] ?? 0) > 150, `the line of ${name} has ${colors[color] ?? 0} pixels`);
  }
  await page.evaluate(() => (location.hash = "field"));
  await frames(page);
  const before = await pixels(page, PICTURE, "webgl-field");
  await frames(page);
  assert(difference(before, await pixels(page, PICTURE)) > 0.1, "the field does not move");
  await page.evaluate(() => (location.hash = "comparison"));
  await frames(page);
  await page.mouse.click(45, 80); // the button "Compare"
  await page.waitForFunction(() => window.playground.comparison_progress() === 1, null, { timeout: 120_000 });
  await frames(page);
  await page.screenshot({ path: `${ARTIFACTS}/webgl-comparison.png` });
  await page.setViewportSize({ width: 390, height: 844 });
  await frames(page);
  await page.screenshot({ path: `${ARTIFACTS}/webgl-comparison-390x844.png` });
  const expected = args === WEBGL ? ["warning: No available adapters."] : [];
  assert.deepEqual(complaints, expected);
}

async function panels(t, url) {
  const { page, complaints } = await open(t, `${url}/#field`, WEBGPU);
  await started(page);
  const shown = () => page.evaluate(() => window.playground.panel());
  assert.equal(await shown(), "field");
  for (const panel of ["comparison", "floats", "curves"]) {
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

/** No WebGPU, and WebGL without a GPU. */
const WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-features=WebGPU"];

/** Opens a browser with a page, and collects the page's errors and warnings in `complaints`. */
async function open(t, url, args, screen = { viewport: { width: 1100, height: 720 } }) {
  const hosts = "--host-resolver-rules=MAP elsewhere.test 127.0.0.1";
  const sandbox = process.getuid() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath: program(), args: [hosts, ...sandbox, ...args] });
  t.after(() => browser.close());
  const page = await browser.newPage(screen);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // A message of wasm-bindgen's own test page, one about the screenshots of a canvas that WebGL draws, and one about
    // eframe's listener for touches, whose call has no effect there.
    const known =
      text.startsWith("using deprecated parameters for the initialization function") ||
      text.includes("GPU stall due to ReadPixels") ||
      text.startsWith("Unable to preventDefault inside passive event listener");
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

/** Returns the share of the pixels outside the place `hidden` that clearly differ in two PNGs. */
function distance(page, one, other, hidden) {
  return page.evaluate(async ([hidden, ...pngs]) => {
    const [one, other] = await Promise.all(pngs.map(async (png) => {
      const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
      const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
      context.drawImage(image, 0, 0);
      const [left, top] = [hidden.left, hidden.top].map(Math.floor);
      context.clearRect(left, top, Math.ceil(hidden.right) - left, Math.ceil(hidden.bottom) - top);
      return context.getImageData(0, 0, image.width, image.height);
    }));
    if (one.width !== other.width || one.height !== other.height) return 1;
    let count = 0;
    for (let i = 0; i < one.data.length; i += 4) {
      count += [0, 1, 2].some((j) => Math.abs(one.data[i + j] - other.data[i + j]) > 64) ? 1 : 0;
    }
    return count / (one.width * one.height);
  }, [hidden, one.toString("base64"), other.toString("base64")]);
}

/**
 * Returns the places of the switch for the rounding, of the button that resets the view, and of the plot; or those in
 * the `bar`: the device's name, and the links to the README and the source.
 */
async function places(page, what = "places") {
  const edges = await page.evaluate((what) => [...window.playground[what]()], what);
  return [0, 4, 8].map((i) => {
    const [left, top, right, bottom] = edges.slice(i, i + 4);
    return { left, top, right, bottom };
  });
}

function center({ left, top, right, bottom }) {
  return [(left + right) / 2, (top + bottom) / 2];
}

/** Types a number into the field for alpha. */
async function type(page, text) {
  const [left, top, right, bottom] = await page.evaluate(() => window.playground.slider());
  // The field ends with the word "alpha", which is about 40 pixels wide.
  await page.mouse.click(right - 60, (top + bottom) / 2);
  await frames(page);
  await page.keyboard.press("Control+A");
  await page.keyboard.type(text, { delay: 30 });
  await page.keyboard.press("Enter");
  await page.mouse.move(5, 5);
  await frames(page);
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
    if (name === "CELU" && alpha <= 0) return;
    curves[i].forEach((y, j) => {
      const exact = formula(x[j]);
      const ulp = Math.abs(y - exact) / spacing(exact);
      assert(ulp <= 1, `${name}(${x[j]}) with alpha ${alpha} is ${y}, exact ${exact}: off by ${ulp} ULP`);
    });
  });
  return { alpha, x, curves };
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
