//! A gRPC client on the control socket.

use std::path::Path;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// In front of each message: not compressed, and the length in four bytes.
const PREFIX_BYTES: usize = 5;

pub struct Control {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl Control {
    pub fn connect(socket: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let sender = runtime.block_on(async {
            let connection = UnixStream::connect(socket).await.unwrap();
            let (sender, connection) =
                handshake(TokioExecutor::new(), TokioIo::new(connection)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Calls a method of `PluginControl`.
    pub fn ask<A: Message + Default>(&mut self, method: &str, question: &impl Message) -> A {
        let mut body = vec![0];
        body.extend_from_slice(&(question.encoded_len() as u32).to_be_bytes());
        question.encode(&mut body).unwrap();
        let request = Request::post(format!("http://plugin/heddle.plugin.v1.PluginControl/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let sent = self.sender.send_request(request);
        let body = self.runtime.block_on(async { sent.await.unwrap().into_body().collect().await.unwrap() });
        let status = body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
        assert_eq!(status.as_ref().map(|status| status.as_bytes()), Some(&b"0"[..]), "{method}");
        A::decode(&body.to_bytes()[PREFIX_BYTES..]).unwrap()
    }
}
