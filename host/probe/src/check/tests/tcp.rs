use super::*;

fn tcp(address: SocketAddr) -> Check {
    Check { address, proxy_line: false, sockets: Sockets::Any, method: Method::Tcp }
}

#[tokio::test(start_paused = true)]
async fn whoever_accepts_passes_and_is_left_with_a_reset() {
    let (told, left) = tokio::sync::oneshot::channel();
    let address = server(async |mut stream| {
        let _ = told.send(stream.read(&mut [0; 16]).await.map_err(|error| error.kind()));
        Ok(())
    })
    .await;
    assert!(matches!(tcp(address).run(SECOND).await, Ok(Seen::Tcp(_))));
    assert_eq!(left.await, Ok(Err(io::ErrorKind::ConnectionReset)), "a FIN would leave TIME_WAIT with us");
}

#[tokio::test(start_paused = true)]
async fn the_proxy_line_comes_first_where_it_is_wanted() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let address = server(async |mut stream| {
        let mut line = vec![0; 15];
        stream.read_exact(&mut line).await?;
        let _ = told.send(line);
        Ok(())
    })
    .await;
    let check = Check { proxy_line: true, ..tcp(address) };
    check.run(SECOND).await.unwrap();
    assert_eq!(heard.await.unwrap(), b"PROXY UNKNOWN\r\n", "what came before a reset can still be read");
}

#[tokio::test(start_paused = true)]
async fn whoever_refuses_fails_by_name() {
    let address = nobody().await;
    let error = tcp(address).run(SECOND).await.unwrap_err();
    assert!(matches!(error, CheckError::Connect { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot connect to {address}: Connection refused (os error 111)"));
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_take_the_connection_fails_in_time() {
    // A listener whose queue is full drops what comes, as a dead host does.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SECOND, TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
    }
    let started = tokio::time::Instant::now();
    let error = tcp(address).run(SECOND * 2).await.unwrap_err();
    assert!(matches!(error, CheckError::TimedOut { stage: Stage::Connect, .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("no connection to {address} within 2s"));
    let took = started.elapsed();
    assert!(took >= SECOND * 2 && took < SECOND * 3, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_a_sign_of_life_where_only_that_is_asked_and_silence_is_none() {
    let kernel = |address| Check { method: Method::Kernel, ..tcp(address) };
    assert!(matches!(kernel(nobody().await).run(SECOND).await, Ok(Seen::Tcp(_))));
    // 240.0.0.0/4 is never routed.
    let error = kernel(([240, 0, 0, 1], 80).into()).run(SECOND).await.unwrap_err();
    assert!(!error.to_string().contains("refused"), "{error}");
}
