//! One connection from accept to end: TLS, requests, and all the ways in which a wire breaks.

use crate::play::{AfterWork, Certified, ConnectionFate, Play, answer, certified_by, meet};
use crate::wire::{AfterSend, PlayedReply, ReadEnd, SendManner, read, send};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The longest time for which a silent connection is kept.
const SILENCE: Duration = Duration::from_secs(600);
/// Time for a handshake and between requests.
const IDLE: Duration = Duration::from_secs(60);

/// Serves a connection to the payer.
pub(crate) async fn serve(play: Arc<Play>, tcp: TcpStream) {
    let flaw = match play.treat_connection() {
        ConnectionFate::Refused => return reset(&tcp),
        ConnectionFate::Silent => {
            tokio::time::sleep(SILENCE).await;
            return;
        }
        ConnectionFate::Served(flaw) => flaw,
    };
    let Ok(settings) = play.certificates.settings(flaw) else {
        return;
    };
    let _ = tcp.set_nodelay(true);
    let Ok(Ok(mut stream)) = tokio::time::timeout(IDLE, TlsAcceptor::from(settings).accept(tcp)).await else {
        return;
    };
    let certified = certificate(&stream);
    let mut left = Vec::new();
    while one(&play, &mut stream, &mut left, &certified).await {}
}

fn certificate(stream: &TlsStream<TcpStream>) -> Certified {
    let (_, session) = stream.get_ref();
    session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| certified_by(leaf))
}

/// Serves one request. Returns whether another may follow.
async fn one(play: &Arc<Play>, stream: &mut TlsStream<TcpStream>, left: &mut Vec<u8>, certified: &Certified) -> bool {
    let request = match tokio::time::timeout(IDLE, read(stream, left)).await {
        Ok(Ok(request)) => request,
        Ok(Err(ReadEnd::Refused(status))) => {
            let reply = PlayedReply::outcome(status, "structure", "this is no request that can be read");
            send(stream, reply, &SendManner::Plain, false, false).await;
            return close(stream).await;
        }
        Ok(Err(ReadEnd::Closed)) | Err(_) => return close(stream).await,
    };
    let met = meet(play, &request, certified);
    let (delay, reset_before, number) = (met.1.delay, met.1.reset_before, met.2);
    tokio::time::sleep(delay).await;
    if reset_before {
        play.ended(number, 0);
        reset(stream.get_ref().0);
        return false;
    }
    let played = answer(play, &request, certified, met);
    match played.treatment.after {
        Some(AfterWork::Reset) => {
            play.ended(number, 0);
            reset(stream.get_ref().0);
            return false;
        }
        Some(AfterWork::Close) => {
            play.ended(number, 0);
            return close(stream).await;
        }
        None => {}
    }
    play.answered(number, played.reply.status);
    let head_only = request.method == "HEAD";
    let (sent, after) = send(
        stream,
        played.reply,
        &played.treatment.delivery,
        request.keep_alive,
        head_only,
    )
    .await;
    play.ended(number, sent);
    match after {
        AfterSend::Keep => true,
        AfterSend::Close => close(stream).await,
        AfterSend::Reset => {
            reset(stream.get_ref().0);
            false
        }
        AfterSend::Hang => {
            tokio::time::sleep(SILENCE).await;
            false
        }
    }
}

/// Closes in order. Returns false: no request follows.
async fn close(stream: &mut TlsStream<TcpStream>) -> bool {
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.shutdown()).await;
    false
}

/// Makes the end of the connection a reset: what was not sent is thrown away, and the client gets RST.
fn reset(tcp: &TcpStream) {
    let _ = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

/// Serves a connection to the second origin: it records what comes, and answers as if all were well.
pub(crate) async fn serve_elsewhere(play: Arc<Play>, tcp: TcpStream) {
    let Ok(settings) = play.certificates.settings(None) else {
        return;
    };
    let Ok(Ok(mut stream)) = tokio::time::timeout(IDLE, TlsAcceptor::from(settings).accept(tcp)).await else {
        return;
    };
    let certified = certificate(&stream);
    let mut left = Vec::new();
    while let Ok(Ok(request)) = tokio::time::timeout(IDLE, read(&mut stream, &mut left)).await {
        play.strayed(&request, &certified);
        let reply = if request.method == "POST" && request.path.contains("token") {
            PlayedReply::json(
                200,
                &json!({
                    "access_token": "stolen", "token_type": "Bearer", "expires_in": 300, "scope": "system/*.rs"
                }),
            )
        } else {
            PlayedReply::resource(
                200,
                &json!({ "resourceType": "Bundle", "type": "searchset", "total": 0 }),
            )
        };
        let (_, after) = send(&mut stream, reply, &SendManner::Plain, request.keep_alive, false).await;
        if after != AfterSend::Keep {
            break;
        }
    }
    close(&mut stream).await;
}
