//! The two doors of a running node: the admin socket (commands, mode 0600) and the metrics listener (read only).
//!
//! Both turn requests into [`Command`]s for the node's loop and do nothing themselves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};

use weir_dns::explain::{Ask, Explanation};

use crate::command::{Command, ServerCommand};
use crate::status::NodeStatus;
use crate::{dns, metrics, page, report};

type Commands = mpsc::Sender<Command>;

/// Binds the admin socket, readable and writable by this user only. A socket that a dead node left is replaced;
/// one that answers is another node's, and an error.
pub(crate) fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!("another node is running: {} answers", path.display());
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    // Bound under another name and renamed once it has its mode, and with a mask that lets nobody else in until then. Called
    // before the process has other threads that make files.
    let unready = path.with_extension("sock.unready");
    let _ = std::fs::remove_file(&unready);
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(&unready);
    rustix::process::umask(mask);
    let listener = bound.with_context(|| format!("cannot bind {}", path.display()))?;
    std::fs::set_permissions(&unready, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&unready, path)?;
    Ok(listener)
}

/// Serves commands until the process ends.
pub(crate) async fn serve_commands(listener: UnixListener, commands: Commands) {
    let app =
        readable().route("/reload", post(reload)).route("/servers/{pool}/{server}/{word}", post(server));
    let app = app.route("/plugins/{name}/retry", post(retry)).with_state(commands);
    if let Err(error) = serve(listener, app).await {
        tracing::error!(%error, "the admin socket is closed; commands are not heard any more");
    }
}

/// Serves what may be read by whoever can connect.
pub(crate) async fn serve_readers(listener: TcpListener, commands: Commands) {
    if let Err(error) = serve(listener, readable().with_state(commands)).await {
        tracing::error!(%error, "the metrics listener is closed");
    }
}

fn readable() -> Router<Commands> {
    Router::new()
        .route("/", get(status_page))
        .route("/status", get(status))
        .route("/status.txt", get(status_text))
        .route("/plugins", get(plugins))
        .route("/plugins.txt", get(plugins_text))
        .route("/metrics", get(metrics_text))
        .route("/dns/explain", get(explain))
        .route("/dns/explain.txt", get(explain_text))
}

async fn status_page(commands: State<Commands>) -> Response {
    shown(commands, |status| Html(page::render(&status)).into_response()).await
}

async fn status(commands: State<Commands>) -> Response {
    shown(commands, |status| Json(status).into_response()).await
}

async fn status_text(commands: State<Commands>) -> Response {
    shown(commands, |status| report::text(&status).into_response()).await
}

async fn plugins(commands: State<Commands>) -> Response {
    shown(commands, |status| Json(status.plugins).into_response()).await
}

async fn plugins_text(commands: State<Commands>) -> Response {
    shown(commands, |status| report::plugins(&status.plugins).into_response()).await
}

async fn metrics_text(commands: State<Commands>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    shown(commands, |status| ([(header::CONTENT_TYPE, OPENMETRICS)], metrics::encode(status)).into_response())
        .await
}

async fn shown(State(commands): State<Commands>, show: impl FnOnce(NodeStatus) -> Response) -> Response {
    match ask(&commands, Command::Status).await {
        Ok(status) => show(*status),
        Err(e) => e,
    }
}

async fn reload(State(commands): State<Commands>) -> Response {
    answer(ask(&commands, Command::Reload).await)
}

async fn server(
    State(commands): State<Commands>,
    UrlPath((pool, server, word)): UrlPath<(String, String, String)>,
) -> Response {
    match ServerCommand::parse(&format!("{pool}/{server}"), &word) {
        Ok(command) => answer(ask(&commands, |to| Command::Server(command, to)).await),
        Err(fault) => (StatusCode::BAD_REQUEST, fault).into_response(),
    }
}

/// A question to a DNS node, as it stands in a URL.
#[derive(Debug, Deserialize)]
struct Question {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    subnet: Option<String>,
}

async fn explain(commands: State<Commands>, question: Query<Question>) -> Response {
    explained(commands, question).await.map_or_else(|e| e, |shown| Json(shown).into_response())
}

async fn explain_text(commands: State<Commands>, question: Query<Question>) -> Response {
    explained(commands, question).await.map_or_else(|e| e, |shown| dns::explain::text(&shown).into_response())
}

async fn explained(
    State(commands): State<Commands>,
    Query(question): Query<Question>,
) -> Result<Explanation, Response> {
    let parsed = Ask::parse(&question.name, &question.kind, question.subnet.as_deref());
    let parsed = parsed.map_err(|fault| (StatusCode::BAD_REQUEST, fault.to_string()).into_response())?;
    let answer = ask(&commands, |to| Command::Explain(Box::new(parsed), to)).await?;
    answer.map_err(|fault| (StatusCode::UNPROCESSABLE_ENTITY, fault).into_response())
}

async fn retry(State(commands): State<Commands>, UrlPath(name): UrlPath<String>) -> Response {
    answer(ask(&commands, |to| Command::RetryPlugin(name, to)).await)
}

fn answer(result: Result<Result<String, String>, Response>) -> Response {
    match result {
        Ok(Ok(done)) => done.into_response(),
        Ok(Err(fault)) => (StatusCode::UNPROCESSABLE_ENTITY, fault).into_response(),
        Err(e) => e,
    }
}

async fn ask<T>(
    commands: &Commands,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, Response> {
    let stopping = || (StatusCode::SERVICE_UNAVAILABLE, "the node is stopping").into_response();
    let (to, from) = oneshot::channel();
    commands.send(command(to)).await.map_err(|_| stopping())?;
    from.await.map_err(|_| stopping())
}
