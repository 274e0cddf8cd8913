//! Listeners and streams over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use rt::executor::{self, ExecutorConfig};
use rt::task;
use rt::tcp::{Bind, Listener, ReadHalf, Stream, WriteHalf};

fn on_executor<T: Send + 'static, Fut: Future<Output = T> + 'static>(
    make: impl FnOnce() -> Fut + Send + 'static,
) -> T {
    let cfg = ExecutorConfig {
        name: "test".to_owned(),
        io_memory: 256 << 10,
        ..Default::default()
    };
    executor::run(cfg, make).unwrap()
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Both ends of a connection, on this executor.
async fn pair() -> (Stream, Stream) {
    let listener = Listener::bind(any_port(), Bind::default()).unwrap();
    let connecting = task::spawn(Stream::connect(listener.local_addr()));
    let accepted = listener.accept().await.unwrap();
    (accepted, connecting.await.unwrap())
}

async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(out) => Poll::Ready(Some(out)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn read_to_end(mut half: ReadHalf) -> BytesMut {
    let mut all = BytesMut::new();
    while half.read(&mut all).await.unwrap() > 0 {}
    all
}

fn chunks(count: usize, len: usize) -> Vec<Bytes> {
    (0..count)
        .map(|n| Bytes::from(vec![n as u8; (n * 31) % len]))
        .collect()
}

#[test]
fn a_second_listener_is_refused_unless_both_share_the_port() {
    on_executor(|| async {
        let alone = Listener::bind(any_port(), Bind::default()).unwrap();
        let shared = Bind {
            reuse_port: true,
            ..Bind::default()
        };
        for bind in [Bind::default(), shared] {
            let error = Listener::bind(alone.local_addr(), bind).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
        let first = Listener::bind(any_port(), shared).unwrap();
        // So it would be for a second broker: that is what the lock of the data
        // directory is for.
        Listener::bind(first.local_addr(), shared).unwrap();
    });
}

#[test]
fn the_two_sides_know_each_other() {
    on_executor(|| async {
        let (accepted, connected) = pair().await;
        assert_eq!(
            accepted.peer_addr().unwrap(),
            connected.local_addr().unwrap()
        );
        assert_eq!(
            connected.peer_addr().unwrap(),
            accepted.local_addr().unwrap()
        );
    });
}

#[test]
fn connecting_to_nobody_is_an_error() {
    on_executor(|| async {
        let listener = Listener::bind(any_port(), Bind::default()).unwrap();
        let addr = listener.local_addr();
        drop(listener);
        task::yield_now().await;
        let error = Stream::connect(addr).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn more_chunks_than_one_call_takes_arrive_in_order() {
    on_executor(|| async {
        let (a, b) = pair().await;
        let (reader, _keep) = b.split();
        let reading = task::spawn(read_to_end(reader));
        let (_, mut writer) = a.split();
        // Some are empty, and there are more than the 1024 of one sendmsg; and
        // several megabytes, more than the socket takes at once.
        let sent = chunks(5000, 2000);
        writer.write_all(sent.clone()).await.unwrap();
        writer.write_all(vec![Bytes::new()]).await.unwrap();
        writer.write_all(Vec::new()).await.unwrap();
        writer.shutdown_write().unwrap();
        assert!(reading.await == sent.concat());
    });
}

#[test]
fn a_write_given_up_leaves_exactly_the_rest() {
    on_executor(|| async {
        let (a, b) = pair().await;
        let (_, mut writer) = a.split();
        let sent = chunks(3000, 8000);
        let mut queue: VecDeque<Bytes> = sent.clone().into();
        // Nobody reads, so this gets stuck.
        assert!(poll_once(writer.write_queue(&mut queue)).await.is_none());
        let left: usize = queue.iter().map(Bytes::len).sum();
        assert!(left > 0 && left < sent.concat().len());
        let (reader, _keep) = b.split();
        let reading = task::spawn(read_to_end(reader));
        writer.write_queue(&mut queue).await.unwrap();
        assert!(queue.is_empty());
        writer.shutdown_write().unwrap();
        assert!(reading.await == sent.concat());
    });
}

#[test]
fn reads_go_into_the_spare_room_of_the_buffer() {
    on_executor(|| async {
        let (a, b) = pair().await;
        let (mut reader, _keep) = a.split();
        let (_keep_too, mut writer) = b.split();
        writer
            .write_all(vec![Bytes::from_static(b"hello, world")])
            .await
            .unwrap();
        let mut buffer = BytesMut::with_capacity(8);
        buffer.extend_from_slice(b"> ");
        let (address, room) = (buffer.as_ptr(), buffer.capacity() - 2);
        assert_eq!(reader.read(&mut buffer).await.unwrap(), room.min(12));
        assert_eq!(
            buffer.as_ptr(),
            address,
            "no room was made while there was some"
        );
        while buffer.len() < 14 {
            // Full: room is made.
            assert!(reader.read(&mut buffer).await.unwrap() > 0);
        }
        assert_eq!(&buffer[..], b"> hello, world");
        writer.shutdown_write().unwrap();
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    on_executor(|| async {
        let (a, b) = pair().await;
        let echo = task::spawn(async move {
            let (mut reader, mut writer) = b.split();
            let mut buffer = BytesMut::new();
            while reader.read(&mut buffer).await.unwrap() > 0 {
                writer
                    .write_all(vec![buffer.split().freeze()])
                    .await
                    .unwrap();
            }
        });
        let (reader, mut writer) = a.split();
        // It waits to read all along; the writes must not disturb it.
        let reading = task::spawn(read_to_end(reader));
        let sent = chunks(4000, 3000);
        for chunk in &sent {
            writer.write_all(vec![chunk.clone()]).await.unwrap();
        }
        writer.shutdown_write().unwrap();
        echo.await;
        assert!(reading.await == sent.concat());
    });
}

#[test]
fn the_end_goes_out_at_once_though_a_read_is_waiting() {
    let (tell, told) = mpsc::channel();
    let (saw_end, end_seen) = mpsc::channel();
    let peer = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(told.recv().unwrap()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        saw_end.send(()).unwrap();
    });
    on_executor(move || async move {
        let listener = Listener::bind(any_port(), Bind::default()).unwrap();
        tell.send(listener.local_addr()).unwrap();
        let (mut reader, writer) = listener.accept().await.unwrap().split();
        let mut buffer = BytesMut::new();
        assert!(poll_once(reader.read(&mut buffer)).await.is_none());
        // Long enough that the kernel has the poll, which holds the socket.
        rt::time::sleep(Duration::from_millis(5)).await;
        drop((reader, writer));
        // The reactor doesn't run while this waits.
        end_seen.recv().unwrap();
    });
    peer.join().unwrap();
}

#[test]
fn one_half_can_end_what_the_other_waits_for() {
    on_executor(|| async {
        let (a, _b) = pair().await;
        let (reader, writer) = a.split();
        let reading = task::spawn(read_to_end(reader));
        task::yield_now().await;
        writer.shutdown().unwrap();
        assert!(reading.await.is_empty());
        writer.shutdown().unwrap();
    });
}

#[test]
fn writing_to_one_who_is_gone_is_an_error_not_a_signal() {
    // SAFETY: restores what a C program starts with: the signal would kill us.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    on_executor(|| async {
        let (a, b) = pair().await;
        drop(b);
        let (_, mut writer): (ReadHalf, WriteHalf) = a.split();
        let chunk = vec![Bytes::from_static(b"hello")];
        let error = loop {
            if let Err(error) = writer.write_all(chunk.clone()).await {
                break error;
            }
        };
        let kind = error.kind();
        assert!(
            matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{error}"
        );
    });
}

#[test]
fn an_accept_given_up_loses_no_connection() {
    on_executor(|| async {
        let listener = Listener::bind(any_port(), Bind::default()).unwrap();
        for _ in 0..3 {
            assert!(poll_once(listener.accept()).await.is_none());
            // The accept reaches the kernel, and takes the connection there
            // while nobody waits for it.
            task::yield_now().await;
            let mut client = TcpStream::connect(listener.local_addr()).unwrap();
            rt::time::sleep(Duration::from_millis(5)).await;
            client.write_all(b"x").unwrap();
            let (mut reader, _writer) = listener.accept().await.unwrap().split();
            let mut buffer = BytesMut::new();
            assert_eq!(reader.read(&mut buffer).await.unwrap(), 1);
            assert_eq!(client.local_addr().unwrap(), reader.peer_addr().unwrap());
        }
    });
}

#[test]
fn a_listener_dropped_while_it_accepts_leaves_no_connection_open() {
    on_executor(|| async {
        let listener = Listener::bind(any_port(), Bind::default()).unwrap();
        let addr = listener.local_addr();
        assert!(poll_once(listener.accept()).await.is_none());
        rt::time::sleep(Duration::from_millis(5)).await;
        // Accepted in the kernel, but seen by nobody here yet.
        let mut client = TcpStream::connect(addr).unwrap();
        drop(listener);
        // Either way the client sees an end, on its own thread.
        let end = task::blocking(move || client.read(&mut [0]).unwrap_or(0)).await;
        assert_eq!(end.unwrap(), 0);
        assert!(TcpStream::connect(addr).is_err());
    });
}

#[test]
fn an_accept_may_be_polled_often_without_an_answer() {
    on_executor(|| async {
        let listener = Listener::bind(any_port(), Bind::default()).unwrap();
        // The runtime keeps a waker for each poll and panics at 32,767.
        let mut accept = Box::pin(listener.accept());
        for _ in 0..40_000 {
            assert!(poll_once(accept.as_mut()).await.is_none());
        }
        let client = task::spawn(Stream::connect(listener.local_addr()));
        accept.await.unwrap();
        client.await.unwrap();
    });
}

#[test]
fn a_stream_serves_as_a_plain_reader_and_writer() {
    on_executor(|| async {
        let (mut a, mut b) = pair().await;
        a.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        a.flush().await.unwrap();
        a.close().await.unwrap();
        let mut text = String::new();
        b.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "GET / HTTP/1.1\r\n");
        b.write_all(b"ok").await.unwrap();
        drop(b);
        text.clear();
        a.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "ok");
    });
}

#[test]
fn a_reader_can_wait_for_many_bytes_at_once() {
    on_executor(|| async {
        let (client, served) = pair().await;
        let (mut read, _write) = served.split();
        let (_rest, mut send) = client.split();
        let mut into = BytesMut::with_capacity(1 << 20);
        let sending = task::spawn(async move {
            for _ in 0..10 {
                send.write_all(vec![Bytes::from(vec![7; 1000])])
                    .await
                    .unwrap();
                rt::time::sleep(Duration::from_millis(2)).await;
            }
            send
        });
        assert!(read.read_many(&mut into, 10_000).await.unwrap() >= 10_000);
        assert_eq!(read.queued().unwrap(), 0);

        let mut send = sending.await;
        // A wait for many doesn't outlast the peer, and one for few comes after one for many.
        let waiting =
            rt::time::timeout(Duration::from_millis(20), read.read_many(&mut into, 10_000));
        assert!(waiting.await.is_err());
        send.write_all(vec![Bytes::from_static(b"d")])
            .await
            .unwrap();
        assert_eq!(read.read(&mut into).await.unwrap(), 1);
        send.shutdown_write().unwrap();
        assert_eq!(read.read_many(&mut into, 10_000).await.unwrap(), 0);
    });
}
