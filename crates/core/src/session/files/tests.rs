use proptest::prelude::*;
use switchtower_contract::Content;

use super::*;
use crate::memory::{self, MemoryAccount};
use crate::request::Caller;

fn files(max: u64) -> Files {
    Files::new(WallClock::starting_at(SystemTime::UNIX_EPOCH), max, MemoryAccount::default().open(&Caller::default()))
}

fn change(path: &str, content: Content) -> Change {
    Change { path: path.to_owned(), content }
}

fn file(text: &str) -> Content {
    Content::File(text.as_bytes().to_vec().into())
}

#[tokio::test]
async fn writing_a_file_creates_its_folders_and_renaming_a_folder_moves_its_files() {
    let files = files(100);
    files.write("a/b/c", "one".into()).unwrap();
    files.write("/tmp/x", "two".into()).unwrap();
    assert!(files.stat("/home/user/a/b").unwrap().folder);
    assert_eq!(files.make_folder("a"), Err(FileError::AlreadyExists("/home/user/a".into())));
    assert_eq!(files.rename("a", "a/b/d"), Err(FileError::Invalid("/home/user/a cannot move into itself".into())));
    files.rename("a", "/tmp/moved/a").unwrap();
    assert_eq!(files.read("/tmp/moved/a/b/c").unwrap(), "one");
    assert_eq!(files.read("a/b/c"), Err(FileError::NotFound("/home/user/a/b/c".into())));
    assert_eq!(files.read("/tmp/moved"), Err(FileError::IsFolder("/tmp/moved".into())));
    assert_eq!(files.write("/tmp/x/y", Bytes::new()), Err(FileError::NotFolder("/tmp/x".into())));
    let names = |depth| files.list("/tmp", depth).unwrap().into_iter().map(|e| e.path).collect::<Vec<_>>();
    assert_eq!(names(1), ["/tmp/moved", "/tmp/x"]);
    assert_eq!(names(2), ["/tmp/moved", "/tmp/moved/a", "/tmp/x"]);
    files.remove("/tmp/moved").unwrap();
    assert_eq!((names(9), files.size()), (vec!["/tmp/x".to_owned()], 3));
    assert_eq!(files.remove("/tmp/moved"), Err(FileError::NotFound("/tmp/moved".into())));
    assert!(files.remove("~").is_err() && files.stat("/etc/hosts").is_err());
}

#[tokio::test]
async fn a_write_beyond_the_limit_changes_nothing() {
    let files = files(4);
    files.write("a", "1234".into()).unwrap();
    let (before, revision) = files.snapshot();
    assert_eq!(files.write("b/c", "5".into()), Err(FileError::Full { max: 4 }));
    let changes = vec![change("/tmp/x", Content::Folder), change("/tmp/x/y", file("12345"))];
    assert_eq!(files.apply(changes, Writer::Kernel(1)), Err(FileError::Full { max: 4 }));
    assert_eq!(files.snapshot(), (before, revision));
    files.write("a", "4321".into()).unwrap();
}

#[tokio::test]
async fn a_kernel_gets_the_changes_of_others_and_not_its_own() {
    let files = files(100);
    let (one, two) = (Writer::Kernel(1), Writer::Kernel(2));
    files.write("a", "client".into()).unwrap();
    files.apply(vec![change("/tmp/k", file("one")), change("/usr/lib/x", file("own"))], one).unwrap();
    let (of_one, revision) = files.changes_since(Revision::default(), one);
    assert_eq!(of_one, [change("/home/user/a", file("client"))]);
    assert_eq!(files.changes_since(Revision::default(), two).0, [of_one[0].clone(), change("/tmp/k", file("one"))]);
    assert_eq!(files.changes_since(revision, two).0, []);
    // A change to the same content is no change.
    files.apply(vec![change("/home/user/a", file("client"))], two).unwrap();
    assert_eq!(files.revision(), revision);
}

#[tokio::test]
async fn changes_below_a_removed_folder_are_implied() {
    let files = files(100);
    files.write("a/b/c", "x".into()).unwrap();
    let revision = files.revision();
    files.remove("a").unwrap();
    assert_eq!(files.changes_since(revision, Writer::Kernel(1)).0, [change("/home/user/a", Content::Removed)]);
    files.write("a", "a file now".into()).unwrap();
    assert_eq!(files.changes_since(revision, Writer::Kernel(1)).0, [change("/home/user/a", file("a file now"))]);
}

#[tokio::test]
async fn watchers_are_notified_of_every_change() {
    let files = files(100);
    let mut watch = files.watch();
    files.write("a", "x".into()).unwrap();
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow_and_update(), files.revision());
    assert!(files.write("b/", Bytes::from(vec![0; 101])).is_err());
    assert!(!watch.has_changed().unwrap());
    assert_eq!(files.states("/home/user").unwrap().keys().collect::<Vec<_>>(), ["/home/user/a"]);
}

#[tokio::test]
async fn metadata_moves_with_its_file_and_lasts_until_the_next_upload() {
    let files = files(100);
    let author = FileMetadata::new([("author", b"ada".as_slice())]).unwrap();
    files.write_with("d/a", "1".into(), author.clone()).unwrap();
    files.rename("d", "e").unwrap();
    assert_eq!(files.stat("e/a").unwrap().metadata, author);
    assert_eq!(files.list("e", 1).unwrap()[0].metadata, author);
    // A program opens the same file and writes it: its attributes stay.
    files.apply(vec![change("/home/user/e/a", file("2"))], Writer::Kernel(1)).unwrap();
    let pairs = author.pairs().unwrap().clone();
    assert_eq!(files.with_metadata(), [("/home/user/e/a".to_owned(), "2".into(), pairs)]);
    files.write("e/a", "3".into()).unwrap();
    assert_eq!(files.stat("e/a").unwrap().metadata, FileMetadata::default());
}

#[tokio::test]
async fn the_number_of_paths_is_limited_and_removed_ones_count() {
    let files = files(100);
    let max = (0..).find_map(|number| match files.write(&format!("/tmp/{number}"), Bytes::new()) {
        Err(FileError::TooMany { max }) => Some((number, max)),
        written => written.map(|_| None).unwrap(),
    });
    // Beside the two scratch folders.
    assert_eq!(max, Some((49_998, 50_000)));
    files.remove("/tmp/0").unwrap();
    assert_eq!(files.make_folder("/tmp/new"), Err(FileError::TooMany { max: 50_000 }));
    files.write("/tmp/0", "again".into()).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Write(String, u8),
    Folder(String),
    Rename(String, String),
    Remove(String),
    Apply(u64, Vec<(String, u8)>),
    /// The kernel gets the changes of others.
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let path =
        || prop::sample::select(vec!["a", "a/b", "a/b/c", "a-", "b", "/tmp/a", "/tmp/a/b"]).prop_map(str::to_owned);
    prop_oneof![
        (path(), 0..4_u8).prop_map(|(path, size)| Step::Write(path, size)),
        path().prop_map(Step::Folder),
        (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        path().prop_map(Step::Remove),
        (1..3_u64, prop::collection::vec((path(), 0..6_u8), 1..4)).prop_map(|(who, what)| Step::Apply(who, what)),
        Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn applying_the_changes_makes_the_same_tree(steps in prop::collection::vec(step(), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        let (files, copy) = (files(20), files(1000));
        let mut revision = Revision::default();
        let reader = Writer::Kernel(9);
        for step in steps {
            // A step may fail.
            let _ = match step {
                Step::Write(path, size) => files.write(&path, vec![size; size.into()].into()).map(drop),
                Step::Folder(path) => files.make_folder(&path).map(drop),
                Step::Rename(from, to) => files.rename(&from, &to).map(drop),
                Step::Remove(path) => files.remove(&path),
                Step::Apply(who, what) => {
                    let content = |size: u8| match size {
                        0 => Content::Removed,
                        1 => Content::Folder,
                        size => Content::File(vec![size; size.into()].into()),
                    };
                    let change = |(path, size): (String, u8)| change(&path, content(size));
                    files.apply(what.into_iter().map(change).collect(), Writer::Kernel(who))
                }
                Step::Read => {
                    let (changes, now) = files.changes_since(revision, reader);
                    revision = now;
                    copy.apply(changes, Writer::Client)
                }
            };
            let held: usize = files.snapshot().0.iter().map(|change| match &change.content {
                Content::File(content) => content.len(),
                Content::Folder | Content::Removed => 0,
            }).sum();
            prop_assert_eq!(held as u64, files.size());
        }
        copy.apply(files.changes_since(revision, reader).0, Writer::Client).unwrap();
        prop_assert_eq!(copy.snapshot().0, files.snapshot().0);
        let anew = self::files(1000);
        anew.apply(files.changes_since(Revision::default(), reader).0, Writer::Client).unwrap();
        prop_assert_eq!(anew.snapshot().0, files.snapshot().0);
    }
}

/// Returns files whose owner's share is this many bytes.
fn charged(share: u64) -> (MemoryAccount, Files) {
    let account = MemoryAccount::new(&memory::Config { total: 2 * share, per_caller: share });
    let charge = account.open(&Caller::default());
    (account, Files::new(WallClock::starting_at(SystemTime::UNIX_EPOCH), u64::MAX, charge))
}

#[tokio::test]
async fn contents_names_and_removed_names_are_charged_until_the_files_are_dropped() {
    let (account, files) = charged(100_000);
    files.write("a", vec![0; 50_000].into()).unwrap();
    let with_one = account.total();
    assert!((50_000..51_000).contains(&with_one), "{with_one}");
    files.write("a", vec![0; 10].into()).unwrap();
    assert_eq!(account.total(), with_one - 49_990);
    // A long name is charged, and stays charged after its file is removed.
    let deep = format!("{}/f", ["n".repeat(200).as_str(); 15].join("/"));
    files.write(&deep, "x".into()).unwrap();
    let with_names = account.total();
    assert!(with_names > 20_000, "{with_names}");
    files.remove(&"n".repeat(200)).unwrap();
    assert!(account.total() > with_names - 10);
    drop(files);
    assert_eq!(account.total(), 0);
}

#[tokio::test]
async fn a_write_beyond_the_callers_share_changes_nothing_and_charges_nothing() {
    let (account, files) = charged(10_000);
    files.write("a/b", vec![1; 4000].into()).unwrap();
    let (before, revision, charged) = (files.snapshot().0, files.revision(), account.total());
    let no_space = |error: FileError| matches!(error, FileError::NoSpace(NoSpace { allowed: 10_000, .. }));
    assert!(no_space(files.write("c", vec![1; 6000].into()).unwrap_err()));
    assert!(no_space(files.write(&"x/".repeat(2000), Bytes::new()).unwrap_err()));
    let changes = vec![change("/tmp/x", file("1")), change("/tmp/y", Content::File(vec![1; 6000].into()))];
    assert!(no_space(files.apply(changes, Writer::Kernel(1)).unwrap_err()));
    let more = ["m".repeat(250).as_str(); 12].join("/");
    assert!(no_space(files.rename("a", &more).unwrap_err()));
    assert_eq!((files.snapshot().0, files.revision(), account.total()), (before, revision, charged));
    files.remove("a").unwrap();
    files.write("c", vec![1; 6000].into()).unwrap();
    files.drop_contents();
    assert_eq!((files.size(), files.paths()), (0, vec!["/home/user/c".to_owned()]));
    assert!(account.total() < 2000);
}

proptest! {
    #[test]
    fn the_charge_always_equals_the_cost_of_the_tree(steps in prop::collection::vec((0..5_u8, 0..6_usize, 0..6_usize, 0..3000_usize), 0..40)) {
        let (account, files) = charged(12_000);
        let names = ["a", "a/b", "a/b/c", "/tmp/d", "/tmp/d/e", "/tmp/f"];
        for (what, one, other, size) in steps {
            let _ = match what {
                0 => files.write(names[one], vec![0; size].into()).map(drop),
                1 => {
                    let metadata = FileMetadata::new([("k", vec![b'v'; size / 2].as_slice())]).unwrap();
                    files.write_with(names[one], vec![0; size].into(), metadata).map(drop)
                }
                2 => files.rename(names[one], names[other]).map(drop),
                3 => files.remove(names[one]),
                _ => files.apply(vec![change(&Files::absolute(names[one]).unwrap(), Content::File(vec![1; size].into()))], Writer::Kernel(1)),
            };
            prop_assert!(account.total() <= 12_000);
            prop_assert_eq!(account.total(), files.tree().recounted_cost());
        }
        drop(files);
        prop_assert_eq!(account.total(), 0);
    }
}
