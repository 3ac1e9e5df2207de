//! The control channel: gRPC on a socket, served by one thread. What runs user code has threads of its own.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::codegen::{Service, http};
use tonic::{Request, Response, Status, async_trait};

use crate::describe;
use crate::error::{Error, Result};
use crate::payload::schema_from_bytes;
use crate::row::RowType;
use crate::serve::bindings::{Binding, settings};
use crate::serve::{ACCEPT_PAUSE, Host, SDK};
use crate::wire;
use crate::wire::plugin_control_server::{PluginControl, PluginControlServer};

/// The protocol versions that this SDK speaks.
const PROTOCOL_MIN: u32 = 1;
const PROTOCOL_MAX: u32 = 1;

type Answer<T> = std::result::Result<Response<T>, Status>;

/// Starts the thread that answers the engine and that hears signals: SIGTERM ends the process, SIGINT is ignored.
pub(crate) fn start(host: Arc<Host>, listener: StdUnixListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (listener, terminate) = {
        let _entered = runtime.enter();
        // The handler stays when its stream is dropped, so the signal does nothing from now on.
        drop(signal(SignalKind::interrupt())?);
        (UnixListener::from_std(listener)?, signal(SignalKind::terminate())?)
    };
    let run = move || run(&runtime, host, listener, terminate);
    thread::Builder::new().name("control".into()).spawn(run)?;
    Ok(())
}

fn run(runtime: &Runtime, host: Arc<Host>, listener: UnixListener, mut terminate: Signal) {
    runtime.block_on(async {
        let ending = host.clone();
        tokio::spawn(async move {
            terminate.recv().await;
            let _ = thread::Builder::new().name("end".into()).spawn(move || ending.end.end());
        });
        let service = PluginControlServer::new(Control(host));
        loop {
            let connection = match listener.accept().await {
                Ok((connection, _)) => connection,
                Err(error) => {
                    eprintln!("heddle: a control connection could not be opened: {error}");
                    thread::sleep(ACCEPT_PAUSE);
                    continue;
                }
            };
            let service = service.clone();
            let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut service = service.clone();
                async move {
                    Ok::<_, Infallible>(service.call(request).await.unwrap_or_else(|never| match never {}))
                }
            });
            let served =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), answer);
            tokio::spawn(served);
        }
    });
}

struct Control(Arc<Host>);

impl Control {
    /// Answers on a thread that may block.
    async fn answer<T: Send + 'static>(&self, work: impl FnOnce(&Host) -> T + Send + 'static) -> Answer<T> {
        let host = self.0.clone();
        let answer = tokio::task::spawn_blocking(move || work(&host)).await;
        answer.map(Response::new).map_err(|error| Status::internal(error.to_string()))
    }
}

#[async_trait]
impl PluginControl for Control {
    async fn handshake(&self, request: Request<wire::HandshakeRequest>) -> Answer<wire::HandshakeResponse> {
        Ok(Response::new(handshake(&self.0, &request.into_inner())))
    }

    async fn describe(&self, request: Request<wire::DescribeRequest>) -> Answer<wire::DescribeResponse> {
        let request = request.into_inner();
        self.answer(move |host| {
            set_environment(host, &request);
            describe::for_engine(&host.plugin)
        })
        .await
    }

    async fn open_resource(
        &self,
        request: Request<wire::OpenResourceRequest>,
    ) -> Answer<wire::OpenResourceResponse> {
        let request = request.into_inner();
        self.answer(move |host| match open(host, request) {
            Ok(resource_id) => wire::OpenResourceResponse { resource_id, failure: None },
            Err(error) => wire::OpenResourceResponse { resource_id: 0, failure: failure(error) },
        })
        .await
    }

    async fn check_resource(
        &self,
        request: Request<wire::CheckResourceRequest>,
    ) -> Answer<wire::CheckResourceResponse> {
        let id = request.into_inner().resource_id;
        self.answer(move |host| match host.resources.get(id).and_then(|resource| resource.enter()) {
            Ok(entered) => {
                let problem = entered.resource().health().err();
                let problem = problem.map(|error| error.message().to_owned()).unwrap_or_default();
                wire::CheckResourceResponse { problem, failure: None }
            }
            Err(error) => wire::CheckResourceResponse { problem: String::new(), failure: failure(error) },
        })
        .await
    }

    async fn close_resource(
        &self,
        request: Request<wire::CloseResourceRequest>,
    ) -> Answer<wire::CloseResourceResponse> {
        let id = request.into_inner().resource_id;
        let close = move |host: &Host| host.resources.close(id).err().and_then(failure);
        self.answer(move |host| wire::CloseResourceResponse { failure: close(host) }).await
    }

    async fn bind_step(&self, request: Request<wire::BindStepRequest>) -> Answer<wire::BindStepResponse> {
        let request = request.into_inner();
        self.answer(move |host| match Binding::new(&host.plugin, &host.resources, &request) {
            Ok(binding) => wire::BindStepResponse { binding_id: host.bindings.add(binding), failure: None },
            Err(error) => wire::BindStepResponse { binding_id: 0, failure: failure(error) },
        })
        .await
    }

    async fn infer_schema(
        &self,
        request: Request<wire::InferSchemaRequest>,
    ) -> Answer<wire::InferSchemaResponse> {
        let request = request.into_inner();
        self.answer(move |host| match infer(host, request) {
            Ok(output) => wire::InferSchemaResponse { output: Some(describe::row(&output)), failure: None },
            Err(error) => wire::InferSchemaResponse { output: None, failure: failure(error) },
        })
        .await
    }

    async fn release_step(
        &self,
        request: Request<wire::ReleaseStepRequest>,
    ) -> Answer<wire::ReleaseStepResponse> {
        self.0.bindings.remove(request.into_inner().binding_id);
        Ok(Response::new(wire::ReleaseStepResponse {}))
    }

    async fn cancel(&self, request: Request<wire::CancelRequest>) -> Answer<wire::CancelResponse> {
        self.0.calls.cancel(request.into_inner().call_id);
        Ok(Response::new(wire::CancelResponse {}))
    }

    async fn health(&self, _: Request<wire::HealthRequest>) -> Answer<wire::HealthResponse> {
        self.answer(|host| wire::HealthResponse {
            calls: host.calls.count() as u32,
            problems: host.resources.problems(),
        })
        .await
    }

    async fn drain(&self, _: Request<wire::DrainRequest>) -> Answer<wire::DrainResponse> {
        self.answer(|host| {
            host.calls.drain();
            wire::DrainResponse { problems: host.resources.close_all() }
        })
        .await
    }
}

fn handshake(host: &Host, request: &wire::HandshakeRequest) -> wire::HandshakeResponse {
    let mut response = wire::HandshakeResponse {
        sdk: SDK.to_owned(),
        namespace: host.plugin.namespace.clone(),
        environment: host.plugin.environment.clone(),
        chains: true,
        ..wire::HandshakeResponse::default()
    };
    let (min, max) = (request.protocol_min.max(PROTOCOL_MIN), request.protocol_max.min(PROTOCOL_MAX));
    if min <= max {
        host.limits.set(request.inline_bytes_max, request.frame_bytes_max);
        response.protocol = max;
    } else {
        response.failure = failure(no_common_protocol(&host.plugin.namespace, request));
    }
    response
}

fn no_common_protocol(namespace: &str, request: &wire::HandshakeRequest) -> Error {
    let cure = if request.protocol_min > PROTOCOL_MAX {
        format!("update the crate heddle-sdk of the plugin `{namespace}` and build it anew")
    } else {
        "update Heddle".to_owned()
    };
    Error::protocol(format!(
        "the engine (Heddle {}) speaks the plugin protocol {} and the plugin ({SDK}) {}; {cure}",
        request.engine_version,
        versions(request.protocol_min, request.protocol_max),
        versions(PROTOCOL_MIN, PROTOCOL_MAX),
    ))
}

fn versions(min: u32, max: u32) -> String {
    if min == max { min.to_string() } else { format!("{min} to {max}") }
}

/// Puts the declared variables into the process's environment.
fn set_environment(host: &Host, request: &wire::DescribeRequest) {
    for (name, value) in &request.environment {
        if host.plugin.environment.contains(name) {
            // SAFETY: the engine describes a plugin before it uses any of its steps or resources, so only threads
            // of this crate are running, and none of them reads the environment.
            unsafe { std::env::set_var(name, value) };
        }
    }
}

fn open(host: &Host, request: wire::OpenResourceRequest) -> Result<u64> {
    let definition = host.plugin.find_resource(&request.r#type).ok_or_else(|| {
        Error::protocol(format!("this plugin has no resource of the type `{}`", request.r#type))
    })?;
    let owner = format!("resource `{}`", request.name);
    let values = settings(&request.config_json, &owner)?;
    let resource = (definition.open)(&values)?;
    let lease = Duration::try_from_secs_f64(request.lease_s).ok().filter(|lease| !lease.is_zero());
    Ok(host.resources.add(request.name, definition.name, resource, lease))
}

fn infer(host: &Host, request: wire::InferSchemaRequest) -> Result<RowType> {
    let binding = host.bindings.get(request.binding_id)?;
    let input = match request.input {
        None => RowType::closed(arrow_schema::Schema::empty()),
        Some(row) if row.open => RowType::open(schema_from_bytes(&row.schema)?),
        Some(row) => RowType::closed(schema_from_bytes(&row.schema)?),
    };
    binding.bound.infer(&input)
}

fn failure(error: Error) -> Option<wire::Failure> {
    Some(error.into_failure())
}
