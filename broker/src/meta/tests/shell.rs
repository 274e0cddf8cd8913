//! The shell: order, durability before answers, and what happens when the log fails.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rt::task;
use tempfile::TempDir;

use super::super::log::{MetaLog, NO_ROOM};
use super::log::store;
use super::*;

type Commits = Rc<RefCell<Vec<Arc<Committed>>>>;

/// An open shell and what its subscriber was given.
async fn open(dir: &Path, options: MetaLogOptions) -> (MetaShell, Commits) {
    let commits = Commits::default();
    let seen = Rc::clone(&commits);
    let subscriber: Subscriber = Box::new(move |commit| seen.borrow_mut().push(Arc::clone(commit)));
    let options = MetaOptions {
        node: 1,
        begin: Begin::Alone,
        log: options,
    };
    let outgoing = Box::new(|_| {});
    let shell = MetaShell::open(dir, options, Box::new(Rules), POLICY, subscriber, outgoing)
        .await
        .unwrap();
    while !shell.leads() {
        shell.turned().await;
    }
    commits.borrow_mut().clear();
    (shell, commits)
}

/// An open shell with a broker.
async fn started(dir: &Path) -> (MetaShell, Commits) {
    let (shell, commits) = open(dir, MetaLogOptions::default()).await;
    let start = |draft: &mut Draft<'_>| {
        draft.decide(|controller| Ok(controller.bootstrap("test-cluster")))?;
        draft.decide(|_| Ok(vec![Record::Broker(broker(1, 2))]))
    };
    shell.execute(start).await.unwrap().value.unwrap();
    (shell, commits)
}

async fn create_topic(
    shell: &MetaShell,
    name: &str,
) -> Result<Decided<Result<(), MetaError>>, ProposeError> {
    let command = new_topic(name);
    shell
        .execute(|draft| {
            draft.decide(|c| c.create_topic(&command, &PlacementDrive::all(c.image())))
        })
        .await
}

fn with_shell<T: Send + 'static, F: Future<Output = T> + 'static>(
    test: impl FnOnce(MetaShell, Commits) -> F + Send + 'static,
) -> (TempDir, T) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    let result = on_executor(move || async move {
        let (shell, commits) = started(&path).await;
        test(shell, commits).await
    });
    (dir, result)
}

fn image_in(dir: &TempDir) -> Image {
    let path = dir.path().to_owned();
    on_executor(move || async move {
        let (shell, commits) = open(&path, MetaLogOptions::default()).await;
        assert!(
            commits.borrow().is_empty(),
            "what was before isn't handed on again"
        );
        shell.image().clone()
    })
}

#[test]
fn a_command_is_durable_when_it_is_answered() {
    let (dir, image) = with_shell(|shell, commits| async move {
        let decided = create_topic(&shell, "logs").await.unwrap();
        assert_eq!(decided.value, Ok(()));
        assert_eq!(decided.offset, shell.offset());
        assert_eq!(commits.borrow().last().unwrap().offset, decided.offset);
        shell.image().clone()
        // No close: as if killed.
    });
    assert!(image.topic("logs").is_some());
    assert_eq!(image_in(&dir), image);
}

#[test]
fn other_shards_get_the_same_image_from_the_commits() {
    with_shell(|shell, commits| async move {
        let mut copy = Image::new();
        for n in 0..20 {
            create_topic(&shell, &format!("t{n}"))
                .await
                .unwrap()
                .value
                .unwrap();
        }
        // The quorum's own first entry came before.
        let mut offset = 1;
        for commit in commits.borrow().iter() {
            offset += commit.records.len() as i64;
            assert_eq!(commit.offset, offset, "in order, without a gap");
            apply(&mut copy, &commit.records);
        }
        assert_eq!(copy, *shell.image());
        assert_eq!(offset, shell.offset());
    });
}

#[test]
fn commands_at_the_same_time_see_one_another() {
    let (dir, ()) = with_shell(|shell, _| async move {
        let tasks: Vec<_> = (0..60)
            .map(|n| {
                let shell = shell.clone();
                task::spawn(
                    async move { create_topic(&shell, &format!("t{}", n % 20)).await.unwrap() },
                )
            })
            .collect();
        let mut created = 0;
        for task in tasks {
            let decided = task.await;
            match decided.value {
                Ok(()) => created += 1,
                Err(error) => assert_eq!(error.code(), 36),
            }
            // Whatever the answer, what it says is committed.
            assert!(shell.offset() >= decided.offset);
        }
        assert_eq!(created, 20);
        assert_eq!(shell.image().topic_count(), 20);
        let loads = PlacementDrive::all(&shell.image()).into_iter();
        let loads: Vec<u32> = loads
            .map(|place| shell.image().drive_load(1, place.drive).replicas)
            .collect();
        assert_eq!(loads, [30, 30]);
    });
    assert_eq!(image_in(&dir).topic_count(), 20);
}

#[test]
fn a_refusal_waits_for_what_it_rests_on() {
    with_shell(|shell, _| async move {
        let first = task::spawn({
            let shell = shell.clone();
            async move { create_topic(&shell, "logs").await.unwrap() }
        });
        task::yield_now().await;
        assert!(
            shell.image().topic("logs").is_none(),
            "decided, not committed"
        );
        let second = create_topic(&shell, "logs").await.unwrap();
        assert_eq!(second.value.unwrap_err().code(), 36);
        assert!(
            shell.image().topic("logs").is_some(),
            "committed before anyone is told that it exists"
        );
        assert_eq!(first.await.offset, second.offset);
    });
}

#[test]
fn a_proposer_that_goes_away_leaves_its_decision() {
    with_shell(|shell, _| async move {
        let proposer = task::spawn({
            let shell = shell.clone();
            async move { create_topic(&shell, "logs").await }
        });
        task::yield_now().await;
        assert!(proposer.cancel().await.is_none(), "it was still waiting");
        create_topic(&shell, "after").await.unwrap().value.unwrap();
        assert!(shell.image().topic("logs").is_some());
    });
}

#[test]
fn what_is_only_validated_changes_nothing() {
    with_shell(|shell, commits| async move {
        let (before, count) = (shell.image().clone(), commits.borrow().len());
        let validate = |name: &'static str| {
            let command = new_topic(name);
            shell.execute(move |draft| {
                let controller = draft.controller();
                controller
                    .create_topic(&command, &PlacementDrive::all(controller.image()))
                    .map(drop)
            })
        };
        assert_eq!(validate("logs").await.unwrap().value, Ok(()));
        assert_eq!(
            validate("l gs").await.unwrap().value.unwrap_err().code(),
            17
        );
        assert_eq!((&*shell.image(), commits.borrow().len()), (&before, count));
    });
}

#[test]
fn records_that_do_not_fit_are_dropped_whole() {
    let (dir, image) = with_shell(|shell, _| async move {
        let topic = Record::Topic(TopicRecord {
            id: id(5),
            name: Arc::from("half"),
        });
        let orphan = Record::RemoveTopic(RemoveTopicRecord { id: id(6) });
        let busy = task::spawn({
            let shell = shell.clone();
            async move { create_topic(&shell, "busy").await.unwrap() }
        });
        task::yield_now().await;
        let error = shell
            .propose(vec![topic.clone(), orphan])
            .await
            .unwrap_err();
        assert!(
            matches!(error, ProposeError::Apply(ApplyError::UnknownTopic(_))),
            "{error}"
        );
        busy.await.value.unwrap();
        assert!(shell.image().topic("half").is_none());
        let offset = shell.propose(vec![topic]).await.unwrap();
        assert_eq!(offset, shell.offset());
        shell.image().clone()
    });
    assert!(image.topic("half").is_some() && image.topic("busy").is_some());
    assert_eq!(image_in(&dir), image);
}

#[test]
fn snapshots_are_taken_on_the_way() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    let image = on_executor(move || async move {
        let options = MetaLogOptions {
            snapshot_records: 10,
            snapshot_bytes: u64::MAX,
        };
        let (shell, _) = open(&path, options).await;
        for _ in 0..200 {
            let decide = |draft: &mut Draft<'_>| {
                let (ids, records) = draft.controller().allocate_producer_ids(1, 0)?;
                draft.take(records)?;
                Ok::<_, MetaError>(ids.first)
            };
            shell.execute(decide).await.unwrap().value.unwrap();
        }
        shell.close().await.unwrap();
        shell.image().clone()
    });
    assert_eq!(image.next_producer_id(), 200_000);
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert!(
        files <= 7,
        "two snapshots, two logs (three, where entries had come since), promises, the probe: {files}"
    );
    assert_eq!(image_in(&dir), image);
}

#[test]
fn a_closed_shell_takes_no_more() {
    let (dir, image) = with_shell(|shell, _| async move {
        let last = task::spawn({
            let shell = shell.clone();
            async move { create_topic(&shell, "last").await.unwrap() }
        });
        task::yield_now().await;
        shell.close().await.unwrap();
        last.await.value.unwrap();
        let error = create_topic(&shell, "late").await.unwrap_err();
        assert!(
            matches!(&error, ProposeError::Closed(why) if why.contains("stopping")),
            "{error}"
        );
        shell.close().await.unwrap();
        shell.image().clone()
    });
    assert!(image.topic("last").is_some());
    assert_eq!(image_in(&dir), image);
}

#[test]
fn a_full_drive_refuses_changes_until_there_is_room() {
    let (dir, image) = with_shell(|shell, _| async move {
        NO_ROOM.set(true);
        // There is room ahead, so that nothing that was decided has to wait.
        let mut created = 0;
        let error = loop {
            match create_topic(&shell, &format!("t{created}")).await {
                Ok(decided) => decided.value.unwrap(),
                Err(error) => break error,
            }
            created += 1;
            assert!(created < 1000, "the drive never is full");
        };
        assert!(
            matches!(&error, ProposeError::Log(error) if error.is_transient()),
            "{error}"
        );
        assert_eq!(
            shell.image().topic_count(),
            created,
            "what failed left no trace"
        );
        let again = create_topic(&shell, "again").await;
        assert!(matches!(again, Err(ProposeError::Log(_))));
        NO_ROOM.set(false);
        assert_eq!(create_topic(&shell, "again").await.unwrap().value, Ok(()));
        shell.image().clone()
    });
    assert!(image.topic("again").is_some());
    assert_eq!(image_in(&dir), image);
}

#[test]
fn a_full_drive_does_not_keep_the_shell_from_closing() {
    let (dir, ()) = with_shell(|shell, _| async move {
        NO_ROOM.set(true);
        let large = (0..20_000).map(|n| {
            Record::Feature(FeatureRecord {
                name: format!("{n:0100}"),
                level: 1,
            })
        });
        let large: Vec<Record> = large.collect();
        let waits = task::spawn({
            let shell = shell.clone();
            async move { shell.propose(large).await }
        });
        task::yield_now().await;
        shell.close().await.unwrap();
        let error = waits.await.unwrap_err();
        assert!(matches!(error, ProposeError::Log(_)), "{error}");
        NO_ROOM.set(false);
    });
    assert_eq!(image_in(&dir).features().len(), 1, "none of it is there");
}

#[test]
fn a_log_that_cannot_go_on_refuses_changes_and_keeps_what_it_has() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    let image = on_executor(move || async move {
        let options = MetaLogOptions {
            snapshot_records: 4,
            snapshot_bytes: u64::MAX,
        };
        let (shell, _) = open(&path, options).await;
        // Something is in the way of the next log file.
        std::fs::create_dir_all(path.join("00000000000000000004.log/x")).unwrap();
        let feature = |n: i32| {
            Record::Feature(FeatureRecord {
                name: format!("f{n}"),
                level: 1,
            })
        };
        let mut error = None;
        for n in 0..6 {
            if let Err(found) = shell.propose(vec![feature(n)]).await {
                error.get_or_insert(found);
            }
        }
        let text = error.unwrap().to_string();
        assert!(text.contains("started again"), "{text}");
        let error = shell.propose(vec![feature(7)]).await.unwrap_err();
        assert!(matches!(error, ProposeError::Closed(_)), "{error}");
        assert!(shell.closed().unwrap().contains("started again"));
        shell.close().await.unwrap();
        shell.image().clone()
    });
    assert_eq!(
        image.features().len(),
        3,
        "those before the file that could not be begun"
    );
    std::fs::remove_dir_all(dir.path().join("00000000000000000004.log")).unwrap();
    assert_eq!(image_in(&dir), image);
}

#[test]
fn a_record_of_a_later_version_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    let error = on_executor(move || async move {
        let (mut log, _) = MetaLog::open(&path, MetaLogOptions::default())
            .await
            .unwrap();
        let later = Record::Feature(FeatureRecord {
            name: METADATA_VERSION.to_owned(),
            level: METADATA_VERSION_LEVEL + 1,
        });
        store(&mut log, &[&[later]]).await.unwrap();
        log.close().await.unwrap();
        let options = MetaOptions {
            node: 1,
            begin: Begin::Alone,
            log: MetaLogOptions::default(),
        };
        let subscriber: Subscriber = Box::new(|_| {});
        let outgoing = Box::new(|_| {});
        let shell = MetaShell::open(
            &path,
            options,
            Box::new(Rules),
            POLICY,
            subscriber,
            outgoing,
        )
        .await
        .unwrap();
        shell.applied_to(i64::MAX).await.unwrap_err()
    });
    let text = error.to_string();
    assert!(text.contains("start the version that wrote it"), "{text}");
}

#[test]
fn images_and_commits_travel_between_shards() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<Image>();
    travels::<Arc<Committed>>();
}
