// Builds the SDK where it lies: its dependencies if they are missing, then dist/. Several projects that use
// this folder may do so at once, so it holds a lock.
import { spawnSync } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const WAIT_MS = 300_000;
const POLL_MS = 50;
const folder = dirname(fileURLToPath(import.meta.url));
const lock = join(folder, ".build-lock");

function locked() {
  try {
    const descriptor = openSync(lock, "wx");
    writeSync(descriptor, String(process.pid));
    closeSync(descriptor);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    return false;
  }
}

function ownerIsGone() {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    if (owner > 0) process.kill(owner, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

function takeLock() {
  const deadline = Date.now() + WAIT_MS;
  while (!locked()) {
    if (ownerIsGone()) rmSync(lock, { force: true });
    else if (Date.now() > deadline)
      throw new Error(`${lock} is held by another build; remove it if there is none`);
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
  }
}

function run(command, args) {
  // What npm tells its scripts of the project that started this must not reach the npm of this folder.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  const done = spawnSync(command, args, { cwd: folder, env, stdio: "inherit" });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`${folder}: \`${[command, ...args].join(" ")}\` failed`);
}

/** Whether node_modules holds what the lock file names. */
function installed() {
  const { packages } = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8"));
  return Object.entries(packages).every(([path, { version, optional }]) => {
    if (path === "" || optional) return true;
    const file = join(folder, path, "package.json");
    return existsSync(file) && JSON.parse(readFileSync(file, "utf8")).version === version;
  });
}

/** npm runs this file at the end of its own installation in this folder, where nothing is missing. */
function insideOwnInstallation() {
  const { npm_command, npm_config_local_prefix } = process.env;
  return ["install", "ci"].includes(npm_command) && npm_config_local_prefix === folder;
}

function writable() {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

if (!writable()) {
  if (existsSync(join(folder, "dist"))) process.exit(0);
  console.error(`${folder} is not built and cannot be written; let its owner run \`npm run prepare\` there`);
  process.exit(1);
}
takeLock();
try {
  if (!insideOwnInstallation() && !installed()) {
    run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
  }
  run(process.execPath, [join(folder, "node_modules", "typescript", "bin", "tsc"), "-p", folder]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(lock, { force: true });
}
