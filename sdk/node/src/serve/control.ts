// The control channel: what the engine asks over gRPC, and what answers it.

import { type handleUnaryCall, Server, ServerCredentials, type ServiceError, status } from "@grpc/grpc-js";
import { describe } from "../describe.js";
import { encodeFailure, type FailureError, protocolError } from "../errors.js";
import type { Plugin } from "../plugin.js";
import { decodeRow, encodeRow } from "../row.js";
import { SDK } from "../version.js";
import {
  type Failure,
  type HandshakeRequest,
  type HandshakeResponse,
  type PluginControlServer,
  PluginControlService,
} from "../wire/plugin.js";
import type { Calls } from "./calls.js";
import { decodeLink } from "./chain.js";
import type { Limits } from "./limits.js";
import type { Registry } from "./registry.js";

const PROTOCOL = 1;
const MESSAGE_BYTES_MAX = 16 << 20;

/** A server that answers. */
export async function listenOnControl(
  path: string,
  plugin: Plugin,
  registry: Registry,
  calls: Calls,
  limits: Limits,
): Promise<Server> {
  const server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  });
  server.addService(PluginControlService, handlers(plugin, registry, calls, limits));
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  return server;
}

function handlers(plugin: Plugin, registry: Registry, calls: Calls, limits: Limits): PluginControlServer {
  return {
    handshake: unary((request) => handshake(plugin, limits, request)),
    describe: unary((request) => {
      Object.assign(process.env, request.environment);
      return describe(plugin);
    }),
    openResource: fallible({ resourceId: 0n }, async ({ type, name, configJson, leaseS }) => ({
      resourceId: await registry.open(type, name, configJson, leaseS),
    })),
    checkResource: fallible({ problem: "" }, async ({ resourceId }) => ({
      problem: await registry.check(resourceId),
    })),
    closeResource: fallible({}, async ({ resourceId }) => {
      await registry.close(resourceId);
      return {};
    }),
    bindStep: fallible({ bindingId: 0n }, ({ step, configJson, resources, base, link }) => ({
      bindingId: registry.bind(step, configJson, resources, base, link && decodeLink(link)),
    })),
    inferSchema: fallible({ output: undefined }, async ({ bindingId, input }) => {
      const [binding, release] = registry.use(bindingId);
      try {
        return { output: encodeRow(await binding.step.infer(decodeRow(input))) };
      } finally {
        release();
      }
    }),
    releaseStep: unary(({ bindingId }) => {
      registry.release(bindingId);
      return {};
    }),
    cancel: unary(({ callId }) => {
      calls.cancel(callId);
      return {};
    }),
    health: unary(async () => ({ calls: calls.count, problems: await registry.problems() })),
    drain: unary(async () => {
      await calls.drain();
      return { problems: await registry.closeAll() };
    }),
  };
}

/** What the answer throws is a violation of the protocol. */
function unary<Request, Response>(
  answer: (request: Request) => Response | Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const answered = async () => answer(call.request);
    answered().then(
      (response) => callback(null, response),
      (thrown: Error) => callback({ code: status.INTERNAL, message: thrown.message } as ServiceError),
    );
  };
}

/** What the answer throws is the response's failure, beside `empty`. */
function fallible<Request, Response extends { failure: Failure | undefined }>(
  empty: Omit<Response, "failure">,
  answer: (request: Request) => Omit<Response, "failure"> | Promise<Omit<Response, "failure">>,
): handleUnaryCall<Request, Response> {
  return unary(async (request: Request) => {
    try {
      return { ...(await answer(request)), failure: undefined } as Response;
    } catch (thrown) {
      return { ...empty, failure: encodeFailure(thrown) } as Response;
    }
  });
}

function handshake(plugin: Plugin, limits: Limits, request: HandshakeRequest): HandshakeResponse {
  const hello = {
    protocol: 0,
    sdk: SDK,
    namespace: plugin.namespace,
    environment: [...plugin.environment],
    failure: undefined,
    chains: true,
  };
  if (request.protocolMin > PROTOCOL || request.protocolMax < PROTOCOL) {
    return { ...hello, failure: encodeFailure(noCommonProtocol(request)) };
  }
  try {
    limits.set(request.inlineBytesMax, request.frameBytesMax);
  } catch (error) {
    return { ...hello, failure: encodeFailure(protocolError((error as Error).message)) };
  }
  return { ...hello, protocol: PROTOCOL };
}

function noCommonProtocol({ protocolMin, protocolMax, engineVersion }: HandshakeRequest): FailureError {
  const side = protocolMax < PROTOCOL ? "Heddle" : "the package `@heddle/sdk` that the plugin runs with";
  const theirs =
    protocolMin === protocolMax ? `version ${protocolMin}` : `versions ${protocolMin} to ${protocolMax}`;
  return protocolError(
    `the engine (Heddle ${engineVersion || "unknown"}) speaks ${theirs} of the plugin protocol, and this ` +
      `plugin (${SDK}) speaks version ${PROTOCOL}; update ${side}`,
    "NoCommonProtocol",
  );
}
