//! Who is not who was meant is told apart, and let go.

use bytes::BytesMut;
use replica::wire::{HELLO_MAX_BYTES, Hello, WireError, hello_len};
use rt::tcp::Stream;

use super::super::ConnectionError;
use super::super::greeting::{check_answer, check_caller};
use super::cluster::{Cluster, run};

fn hello(node: i32, to_node: i32) -> Hello {
    Hello {
        cluster_id: "a-cluster".to_owned(),
        node,
        broker_epoch: 3,
        shard: 1,
        to_node,
        to_shard: 1,
        connection: 9,
    }
}

#[test]
fn each_who_is_wrong_is_told_apart() {
    let (ours, theirs) = (hello(1, 2), hello(2, 1));
    assert!(check_caller(&ours, &theirs).is_ok());
    assert!(check_answer(&ours, &theirs).is_ok());
    let other = Hello {
        cluster_id: "another".to_owned(),
        ..theirs
    };
    let error = check_caller(&ours, &other).unwrap_err();
    assert!(matches!(
        error,
        ConnectionError::WrongCluster { node: 2, .. }
    ));
    assert!(error.to_string().contains("another"));
    let not_me = hello(2, 3);
    let error = check_caller(&ours, &not_me).unwrap_err();
    assert!(matches!(
        error,
        ConnectionError::NotMeant {
            to_node: 3,
            me: 1,
            ..
        }
    ));
    let other_shard = Hello {
        to_shard: 0,
        ..theirs
    };
    let error = check_caller(&ours, &other_shard).unwrap_err();
    assert!(matches!(
        error,
        ConnectionError::NotMeant { to_shard: 0, .. }
    ));
    let myself = hello(1, 1);
    let error = check_caller(&ours, &myself).unwrap_err();
    assert!(matches!(error, ConnectionError::NotMeant { node: 1, .. }));
    let found = hello(4, 1);
    let error = check_answer(&ours, &found).unwrap_err();
    assert!(matches!(
        error,
        ConnectionError::WrongNode {
            wanted: 2,
            found: 4,
            ..
        }
    ));
}

/// What comes until the end.
async fn until_end(stream: Stream, said: Vec<u8>) -> BytesMut {
    let (mut read, mut write) = stream.split();
    write.write_all(vec![said.into()]).await.unwrap();
    let mut heard = BytesMut::new();
    // A reset ends it as well.
    while read.read(&mut heard).await.is_ok_and(|more| more > 0) {}
    heard
}

#[test]
fn whoever_speaks_something_else_is_let_go_without_a_word() {
    run(|| async {
        let cluster = Cluster::new(1, 1 << 20).await;
        let stream = Stream::connect(cluster.address(0)).await.unwrap();
        let heard = until_end(stream, b"GET / HTTP/1.1\r\n\r\n".to_vec()).await;
        assert!(heard.is_empty());
        let mut later = Vec::new();
        hello(1, 0).encode(&mut later).unwrap();
        later[8] = 9;
        assert_eq!(hello_len(&later), Err(WireError::Version { theirs: 9 }));
        let stream = Stream::connect(cluster.address(0)).await.unwrap();
        assert!(until_end(stream, later).await.is_empty());
        cluster.stop();
    });
}

#[test]
fn whoever_means_somebody_else_learns_whom_it_found() {
    run(|| async {
        let cluster = Cluster::new(2, 1 << 20).await;
        let meant = Hello {
            to_node: 5,
            ..cluster.nodes[1].hello_to(0)
        };
        let mut said = Vec::new();
        meant.encode(&mut said).unwrap();
        assert!(said.len() <= HELLO_MAX_BYTES);
        let stream = Stream::connect(cluster.address(0)).await.unwrap();
        let heard = until_end(stream, said).await;
        let heard = Hello::decode(&heard).unwrap();
        assert_eq!((heard.node, heard.connection), (0, meant.connection));
        assert_eq!(cluster.nodes[0].replication.connections(), (0, 0));
        cluster.stop();
    });
}
