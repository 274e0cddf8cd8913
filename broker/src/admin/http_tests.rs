//! The HTTP server over real sockets, with routes of its own.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rt::executor::ExecutorConfig;
use rt::tcp::Bind;

use super::*;

struct Fixed;

impl Routes for Fixed {
    fn answer(&self, path: &str) -> Option<Answering> {
        let path = path.to_owned();
        let found =
            ["/hello", "/v1/hello", "/never", "/v1/never", "/large"].contains(&path.as_str());
        found.then(|| -> Answering {
            Box::pin(async move {
                if path.ends_with("/never") {
                    std::future::pending::<()>().await;
                }
                let size = if path == "/large" { 32 << 20 } else { 0 };
                Reply::plain(StatusCode::OK, "hello\n".to_owned() + &"x".repeat(size))
            })
        })
    }
}

fn quick() -> HttpLimits {
    HttpLimits {
        connections: 2,
        head_bytes: 8192,
        headers: 16,
        head: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        answer: Duration::from_millis(200),
        write: Duration::from_millis(500),
    }
}

/// Serves while `client` runs on a thread of its own, and gives what it returns.
fn with_server<T: Send + 'static>(client: impl FnOnce(SocketAddr) -> T + Send + 'static) -> T {
    let config = ExecutorConfig {
        io_memory: 1 << 20,
        ..ExecutorConfig::default()
    };
    rt::executor::run(config, || async move {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, Bind::default()).unwrap();
        let address = listener.local_addr();
        let shutdown = Shutdown::new();
        let serving = rt::task::spawn(serve(listener, Rc::new(Fixed), quick(), shutdown.clone()));
        let out = rt::task::blocking(move || client(address)).await.unwrap();
        shutdown.begin();
        let ended = rt::time::timeout(Duration::from_secs(5), serving).await;
        ended.expect("the server ends at a shutdown");
        out
    })
    .unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream
}

/// Sends bytes and reads until the server closes.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    read_all(stream)
}

fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // Closed while bytes of ours were unread.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server did not close: {error}"),
    }
    String::from_utf8(answer).unwrap()
}

/// Reads one answer with a length from a connection that stays open: its head and its body.
fn read_one(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut body = vec![0; content_length(&head)];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn content_length(head: &str) -> usize {
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.unwrap().parse().unwrap()
}

fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").unwrap()[..3]
        .parse()
        .unwrap()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()
}

#[test]
fn a_connection_serves_one_request_after_the_other() {
    with_server(|address| {
        let mut stream = connect(address);
        for _ in 0..3 {
            stream
                .write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
                .unwrap();
            let (head, body) = read_one(&mut stream);
            assert_eq!((status(&head), body.as_str()), (200, "hello\n"));
            assert!(head.contains("content-type: text/plain"), "{head}");
            assert!(head.contains("cache-control: no-store"), "{head}");
        }
    });
}

#[test]
fn a_request_that_comes_byte_by_byte_is_served() {
    with_server(|address| {
        let mut stream = connect(address);
        for byte in get("/hello") {
            stream.write_all(&[byte]).unwrap();
        }
        assert!(read_all(stream).ends_with("\r\n\r\nhello\n"));
    });
}

#[test]
fn half_closed_after_the_request_it_is_still_answered() {
    with_server(|address| {
        let mut stream = connect(address);
        stream.write_all(&get("/hello")).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(read_all(stream).ends_with("\r\n\r\nhello\n"));
    });
}

#[test]
fn head_gives_the_length_and_no_body() {
    with_server(|address| {
        let answer = exchange(
            address,
            b"HEAD /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        );
        assert_eq!((status(&answer), content_length(&answer)), (200, 6));
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    });
}

#[test]
fn what_is_not_there_is_404_in_the_tongue_of_its_path() {
    with_server(|address| {
        let answer = exchange(address, &get("/nothing"));
        assert_eq!(status(&answer), 404);
        assert!(
            answer.ends_with("\r\n\r\nnothing is served at /nothing\n"),
            "{answer}"
        );
        let answer = exchange(address, &get("/v1/nothing?x=1"));
        assert_eq!(status(&answer), 404);
        assert!(
            answer.contains("content-type: application/json"),
            "{answer}"
        );
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"], "nothing is served at /v1/nothing");
    });
}

#[test]
fn other_methods_are_405_and_their_bodies_are_not_waited_for() {
    with_server(|address| {
        let post = b"POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nabc";
        let answer = exchange(address, post);
        assert_eq!(status(&answer), 405);
        assert!(answer.contains("allow: GET, HEAD"), "{answer}");
        let answer = exchange(
            address,
            b"DELETE /v1/hello HTTP/1.1\r\nconnection: close\r\n\r\n",
        );
        assert_eq!(status(&answer), 405);
        assert!(answer.contains("{\"error\":"), "{answer}");
        let answer = exchange(
            address,
            b"POST /nothing HTTP/1.1\r\nconnection: close\r\n\r\n",
        );
        assert_eq!(status(&answer), 404);
    });
}

#[test]
fn garbage_is_refused_and_costs_only_its_connection() {
    with_server(|address| {
        for garbage in [
            &b"\x00\x00\x00\x10\x00\x12\x00\x03 something like Kafka\r\n\r\n"[..],
            b"GET /hello HTTP/1.1\r\nbad header\r\n\r\n",
            b"GET /hello HTTP/7.3\r\n\r\n",
            b"GET /hello HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        ] {
            let answer = exchange(address, garbage);
            assert!(answer.is_empty() || status(&answer) == 400, "{answer}");
        }
        assert_eq!(status(&exchange(address, &get("/hello"))), 200);
    });
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    with_server(|address| {
        let mut large = b"GET /hello HTTP/1.1\r\nhost: x\r\nx: ".to_vec();
        large.resize(64 * 1024, b'a');
        let mut stream = connect(address);
        // It may be closed before all of it is sent.
        let _ = stream.write_all(&large);
        let answer = read_all(stream);
        assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
        let many = "a: b\r\n".repeat(20);
        let request = format!("GET /hello HTTP/1.1\r\n{many}\r\n");
        assert_eq!(status(&exchange(address, request.as_bytes())), 431);
        assert_eq!(status(&exchange(address, &get("/hello"))), 200);
    });
}

/// How long until the server closes, after `bytes`.
fn closed_after(address: SocketAddr, bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    exchange(address, bytes);
    begun.elapsed()
}

#[test]
fn silence_and_slowness_have_an_end() {
    with_server(|address| {
        let limits = quick();
        let near = |took: Duration, limit: Duration, what: &str| {
            assert!(
                took >= limit && took < limit + Duration::from_secs(2),
                "{what}: {took:?}"
            );
        };
        near(closed_after(address, b""), limits.head, "nothing");
        near(
            closed_after(address, b"GET /hel"),
            limits.head,
            "half a head",
        );
        let whole = b"GET /hello HTTP/1.1\r\n\r\n";
        near(
            closed_after(address, whole),
            limits.idle,
            "nothing after a request",
        );
        // A byte now and then doesn't help.
        let begun = Instant::now();
        let mut stream = connect(address);
        for byte in b"GET /hello HTTP/1.1\r\n".iter().cycle() {
            let alive = stream.write_all(&[*byte]).is_ok();
            if !alive || begun.elapsed() > Duration::from_secs(3) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        near(begun.elapsed(), limits.head, "a byte now and then");
    });
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    with_server(|address| {
        let mut stream = connect(address);
        stream.write_all(&get("/large")).unwrap();
        std::thread::sleep(quick().write + Duration::from_millis(500));
        let mut read = 0;
        let mut chunk = vec![0; 1 << 16];
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            read += n;
        }
        assert!(read < 32 << 20, "all of it came: {read}");
        let whole = exchange(address, &get("/large"));
        assert!(whole.len() > 32 << 20, "{}", whole.len());
    });
}

#[test]
fn an_answer_that_takes_too_long_is_503() {
    with_server(|address| {
        let answer = exchange(address, &get("/v1/never"));
        assert_eq!(status(&answer), 503);
        assert!(
            answer.contains("{\"error\":\"a shard did not answer"),
            "{answer}"
        );
        assert_eq!(status(&exchange(address, &get("/never"))), 503);
    });
}

#[test]
fn more_connections_than_allowed_are_closed_at_once() {
    with_server(|address| {
        let held: Vec<TcpStream> = (0..2)
            .map(|_| {
                let mut stream = connect(address);
                stream.write_all(b"GET /hello HTTP/1.1\r\n\r\n").unwrap();
                read_one(&mut stream);
                stream
            })
            .collect();
        assert_eq!(read_all(connect(address)), "");
        drop(held);
        let begun = Instant::now();
        loop {
            let mut stream = connect(address);
            // It may be refused as long as the others are not quite gone.
            let sent = stream.write_all(&get("/hello")).is_ok();
            if sent && read_all(stream).ends_with("hello\n") {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "no room came back"
            );
        }
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_connection_that_is_idle() {
    let mut held = with_server(|address| {
        let mut stream = connect(address);
        stream.write_all(b"GET /hello HTTP/1.1\r\n\r\n").unwrap();
        read_one(&mut stream);
        stream
    });
    let mut rest = Vec::new();
    assert_eq!(held.read_to_end(&mut rest).unwrap_or(0), 0);
}
