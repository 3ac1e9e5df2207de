"""The Flight SQL server over a `Database`.

`service` takes commands of the protocol and gives schemas, tickets and streams, without a transport.
`grpc_transport` is the way in and out, and `serving` puts them together.
"""
