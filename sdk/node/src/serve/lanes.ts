// Listens on `lanes.sock`, and hands each call of each lane to a `LaneCall`.

import { createServer, type Server, type Socket } from "node:net";
import { Lane, LaneError } from "./lane.js";
import { LaneCall, type Served } from "./lane_call.js";
import type { Limits } from "./limits.js";

/** A listening server. */
export function listenOnLanes(path: string, served: Served, limits: Limits): Promise<Server> {
  const server = createServer((socket) => serveLane(socket, served, limits));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve(server));
  });
}

function serveLane(socket: Socket, served: Served, limits: Limits): void {
  const lane = new Lane(socket, limits);
  let call: LaneCall | undefined;
  lane.onFrame = (frame) => {
    if (call !== undefined) {
      call.receive(frame);
      return;
    }
    if (frame.$case !== "call") throw new LaneError(`a frame of the kind ${frame.$case} outside of a call`);
    let ended = false;
    const begun = new LaneCall(lane, served, frame.value, () => {
      ended = true;
      call = undefined;
    });
    if (!ended) call = begun;
  };
  lane.onClosed = (problem) => {
    if (problem !== undefined) process.stderr.write(`heddle: a lane was closed: ${problem.message}\n`);
    call?.hangUp();
  };
}
