"""The words of the plugin protocol in Python, shared by the engine's side and the SDK's.

`plugin_pb2` is generated from `heddle/udf_bridge/plugin.proto` (`make proto`); `protocol.md` beside it says
what the messages mean. `lanes` carries frames, `payload` turns tables into bytes in place and back,
`segments` maps shared memory, `control` names the gRPC methods, `description` carries signatures.
"""
