use std::sync::{Arc, Mutex};

use super::*;

fn http(address: SocketAddr) -> Check {
    let method = Method::Http(HttpCheck::new("web.example", "/health?full=1", vec![200..=399]).unwrap());
    Check { address, proxy_line: false, sockets: Sockets::Any, method }
}

/// Reads a whole request.
async fn request(stream: &mut TcpStream) -> io::Result<String> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut heard).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

#[tokio::test]
async fn a_header_of_the_callers_comes_before_the_end_of_the_head() {
    let heard = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&heard);
    let address = server(async move |mut stream| {
        let said = request(&mut stream).await?;
        *log.lock().unwrap() = said;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await
    })
    .await;
    let check = HttpCheck::new("h", "/", vec![200..=200]).unwrap();
    let check = check.with_header("weir-service", &"www".parse().unwrap());
    let method = Method::Http(check);
    let seen = Check { address, proxy_line: false, sockets: Sockets::Any, method }.run(SECOND).await;
    assert!(seen.is_ok());
    let heard = heard.lock().unwrap().clone();
    assert!(heard.ends_with("Connection: close\r\nweir-service: www\r\n\r\n"), "{heard}");
}

/// Checks a server that reads the request, says this and closes.
async fn told(answer: impl Into<Vec<u8>>) -> Result<Seen, CheckError> {
    let answer = answer.into();
    let address = server(async move |mut stream| {
        request(&mut stream).await?;
        stream.write_all(&answer).await
    })
    .await;
    http(address).run(SECOND).await
}

fn body(seen: Result<Seen, CheckError>) -> String {
    match seen.unwrap() {
        Seen::Http { body, .. } => String::from_utf8(body).unwrap(),
        Seen::Tcp(_) => panic!("not an HTTP check"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_request_is_small_complete_and_closes() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let address = server(async |mut stream| {
        let _ = told.send(request(&mut stream).await?);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
    })
    .await;
    let seen = Check { proxy_line: true, ..http(address) }.run(SECOND).await;
    assert!(matches!(seen, Ok(Seen::Http { status: 204, .. })), "{seen:?}");
    assert_eq!(
        heard.await.unwrap(),
        "PROXY UNKNOWN\r\nGET /health?full=1 HTTP/1.1\r\nHost: web.example\r\nUser-Agent: weir-check\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn the_answer_says_its_load_in_the_header_that_is_named_and_nowhere_else() {
    let load = async |header: Option<&str>, answer: &'static str| {
        let address = server(async move |mut stream| {
            request(&mut stream).await?;
            stream.write_all(answer.as_bytes()).await
        })
        .await;
        let http = HttpCheck::new("h", "/", vec![200..=200]).unwrap();
        let http = header.map_or(http.clone(), |header| http.saying_load_in(header));
        let check = Check { address, proxy_line: false, sockets: Sockets::Any, method: Method::Http(http) };
        match check.look(SECOND).await.unwrap() {
            Seen::Http { load, .. } => load.map(|load| String::from_utf8(load).unwrap()),
            Seen::Tcp(_) => panic!("not an HTTP check"),
        }
    };
    let answer = "HTTP/1.1 103 Early Hints\r\nX-Load: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-LOAD:  0.5 \r\n\r\n";
    assert_eq!(load(Some("x-load"), answer).await.as_deref(), Some("0.5"));
    assert_eq!(load(Some("x-busy"), answer).await, None);
    assert_eq!(load(None, answer).await, None);
    let sick = "HTTP/1.1 503 Service Unavailable\r\nx-load: 99%\r\n\r\n";
    assert_eq!(load(Some("X-Load"), sick).await.as_deref(), Some("99%"), "whatever the status");
    let twice = "HTTP/1.1 200 OK\r\nx-load: 0.1\r\nx-load: 0.9\r\n\r\n";
    assert_eq!(load(Some("x-load"), twice).await.as_deref(), Some("0.1, 0.9"), "it cannot be both");
}

#[tokio::test(start_paused = true)]
async fn an_expected_status_passes_and_another_fails_by_name() {
    assert!(told("HTTP/1.1 200 OK\r\n\r\n").await.is_ok());
    assert!(told("HTTP/1.0 399 Whatever\r\n\r\n").await.is_ok());
    let error = told("HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap_err().to_string();
    assert!(error.ends_with("answered with status 503, expected 200-399"), "{error}");
    let several = HttpCheck::new("h", "/", vec![200..=204, 301..=301]).unwrap();
    let error = several.judge(302, "127.0.0.1:80".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "127.0.0.1:80 answered with status 302, expected 200-204, 301");
}

#[tokio::test(start_paused = true)]
async fn whoever_only_looks_sees_any_status() {
    let address = server(async |mut stream| {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy").await
    })
    .await;
    let seen = http(address).look(SECOND).await;
    assert!(matches!(&seen, Ok(Seen::Http { status: 503, body, .. }) if body == b"busy"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn interim_answers_are_passed_over() {
    let answer =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 500 No\r\n\r\n";
    assert!(matches!(told(answer).await, Err(CheckError::Status { status: 500, .. })));
}

#[tokio::test(start_paused = true)]
async fn bodies_are_read_to_their_end_however_that_is_said() {
    assert_eq!(body(told("HTTP/1.1 200 OK\r\n\r\nuntil closed").await), "until closed");
    assert_eq!(body(told("HTTP/1.1 200 OK\r\ncontent-length:  5 \r\n\r\nfirst second").await), "first");
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3\r\none\r\n4;x=y\r\n two\r\n0\r\n\r\n";
    assert_eq!(body(told(chunked).await), "one two");
    assert_eq!(body(told("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n").await), "");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_body_is_not_waited_for_once_it_is_known_or_enough() {
    // These servers keep the connection open for ever.
    for head in ["Content-Length: 1000000", "Transfer-Encoding: chunked", "X: y"] {
        let address = server(async move |mut stream| {
            request(&mut stream).await?;
            let chunk = if head.contains("chunked") { "f4240\r\n" } else { "" };
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{chunk}").as_bytes()).await?;
            stream.write_all(&[b'x'; MAX_BODY]).await?;
            std::future::pending().await
        })
        .await;
        assert_eq!(body(http(address).run(SECOND).await), "x".repeat(MAX_BODY), "{head}");
    }
    let address = server(async |mut stream| {
        request(&mut stream).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            .await?;
        std::future::pending().await
    })
    .await;
    assert_eq!(body(http(address).run(SECOND).await), "ok");
}

#[tokio::test(start_paused = true)]
async fn a_body_in_chunks_of_one_byte_is_read_as_far_as_the_bound() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + &"1\r\nx\r\n".repeat(5000);
    let body = body(told(answer).await);
    assert!(body.len() > 2000 && body.len() < MAX_BODY && body.bytes().all(|b| b == b'x'), "{}", body.len());
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_fails_in_time_with_the_stage() {
    let address = server(async |_stream| std::future::pending().await).await;
    let error = http(address).run(SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), format!("no answer within 1s after connecting to {address}"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_drip_does_not_stretch_the_time_limit() {
    let drip = async |mut stream: TcpStream, at_once: &str| {
        request(&mut stream).await?;
        stream.write_all(at_once.as_bytes()).await?;
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
            stream.write_all(&[*byte]).await?;
            sleep(SECOND / 10).await;
        }
        Ok(())
    };
    for (at_once, stage) in [("", Stage::Answer), ("HTTP/1.1 200 OK\r\n\r\n", Stage::Body)] {
        let started = tokio::time::Instant::now();
        let address = server(move |stream| drip(stream, at_once)).await;
        let error = http(address).run(SECOND).await.unwrap_err();
        assert!(matches!(error, CheckError::TimedOut { stage: at, .. } if at == stage), "{error:?}");
        assert!(started.elapsed() < SECOND * 2, "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_nothing_fails_while_sending() {
    let address = server(async |_stream| std::future::pending().await).await;
    let path = format!("/{}", "x".repeat(32 * 1024 * 1024));
    let method = Method::Http(HttpCheck::new("h", &path, vec![200..=200]).unwrap());
    let error =
        Check { address, proxy_line: false, sockets: Sockets::Any, method }.run(SECOND).await.unwrap_err();
    assert!(matches!(error, CheckError::TimedOut { stage: Stage::Send, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_closes_early_fails_with_the_stage() {
    for (answer, stage) in [
        ("", Stage::Answer),
        ("HTTP/1.1 200 OK\r\nContent-", Stage::Answer),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", Stage::Body),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", Stage::Body),
    ] {
        let error = told(answer).await.unwrap_err();
        assert!(
            matches!(error, CheckError::Closed { stage: at, .. } if at == stage),
            "{answer:?}: {error:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_is_not_http() {
    let answers: [&[u8]; 6] = [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ];
    for answer in answers {
        let error = told(answer).await.unwrap_err();
        assert!(matches!(error, CheckError::NotHttp { .. }), "{}: {error:?}", answer.escape_ascii());
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(matches!(told(many).await, Err(CheckError::NotHttp { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_not_read_for_ever() {
    let address = server(async |mut stream| {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await?;
        loop {
            stream.write_all(&[b'x'; 1024]).await?;
        }
    })
    .await;
    let error = http(address).run(SECOND).await.unwrap_err();
    assert!(matches!(error, CheckError::HeadTooLarge { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn interim_answers_without_end_run_into_the_time_limit() {
    let address = server(async |mut stream| {
        request(&mut stream).await?;
        loop {
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await?;
            sleep(SECOND / 100).await;
        }
    })
    .await;
    let error = http(address).run(SECOND).await.unwrap_err();
    assert!(matches!(error, CheckError::TimedOut { .. } | CheckError::HeadTooLarge { .. }), "{error:?}");
}

#[test]
fn what_would_leave_its_part_of_the_request_is_refused() {
    let expect = || vec![200..=200];
    for path in ["", "health", "/a b", "/a\r\nX: y", "/ü", "/\0"] {
        assert_eq!(HttpCheck::new("h", path, expect()), Err(BadRequest::Path(path.to_owned())));
    }
    for host in ["", "a b", "a\r\nX: y", "ü"] {
        assert_eq!(HttpCheck::new(host, "/", expect()), Err(BadRequest::Host(host.to_owned())));
    }
    assert!(HttpCheck::new("[2001:db8::1]:80", "/", expect()).is_ok());
}
