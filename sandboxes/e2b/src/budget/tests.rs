use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use tokio::time::{Instant, advance};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, span};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Returns a wall clock that follows tokio's clock.
fn wall_clock() -> Now {
    let started = Instant::now();
    Arc::new(move || UNIX_EPOCH + Duration::from_secs(1_800_000_000) + started.elapsed())
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("switchtower-budget-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join("deep").join("budget.json")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Records events.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Returns the events of a call. A second subscriber exists meanwhile: with only one, tracing caches whether an
    /// event is enabled for the first thread that reaches it, which may be another test's.
    fn of(act: impl FnOnce()) -> Vec<String> {
        let (log, other) = (Self::default(), Dispatch::new(Self::default()));
        tracing::subscriber::with_default(log.clone(), act);
        drop(other);
        let lines = log.0.lock().unwrap();
        lines.clone()
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Row(String);
        impl Visit for Row {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!(" {}={value:?}", field.name());
            }
        }
        let mut line = Row(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn enforced(creations: u32) -> HourlyLimit {
    HourlyLimit { creations, is_enforced: true }
}

fn only_warned(creations: u32) -> HourlyLimit {
    HourlyLimit { creations, is_enforced: false }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_enforced_warns_and_refuses_nothing() {
    let budget = Budget::in_memory(only_warned(10), wall_clock());
    let events = Log::of(|| (0..30).for_each(|_| budget.spend().unwrap()));
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(budget.check(), BudgetStatus { count: 30, limit: 10, exceeded: true, remaining: 0 });
}

#[tokio::test(start_paused = true)]
async fn the_hour_slides_and_a_refusal_has_the_time_until_the_next_creation() {
    let budget = Budget::in_memory(enforced(3), wall_clock());
    for _ in 0..3 {
        budget.spend().unwrap();
        advance(600 * SECOND).await;
    }
    let spent = BudgetExceeded { count: 3, limit: 3, retry_after: 1800 * SECOND };
    assert_eq!(budget.spend(), Err(spent));
    advance(1799 * SECOND).await;
    assert!(budget.spend().is_err());
    assert!(budget.check().exceeded);
    advance(SECOND).await;
    budget.spend().unwrap();
    assert_eq!(budget.spend().map_err(|spent| spent.retry_after), Err(600 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn no_creation_leaves_before_its_hour_is_over() {
    let budget = Budget::in_memory(only_warned(50), wall_clock());
    advance(SECOND / 2).await;
    budget.spend().unwrap();
    advance(3600 * SECOND - SECOND / 10).await;
    assert_eq!(budget.check().count, 1);
    advance(SECOND).await;
    assert_eq!(budget.check().count, 0);
}

#[tokio::test(start_paused = true)]
async fn status_and_operations_have_the_documented_keys() {
    let budget = Budget::in_memory(enforced(100), wall_clock());
    (0..45).for_each(|_| budget.spend().unwrap());
    (0..5).for_each(|_| budget.count("execution"));
    let json = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap();
    assert_eq!(
        json(&|| serde_json::to_string(&budget.check())),
        r#"{"count":45,"limit":100,"exceeded":false,"remaining":55}"#
    );
    assert_eq!(
        json(&|| serde_json::to_string(&budget.operations())),
        r#"{"totalRequests":50,"byOperation":{"execution":5,"sandbox_create":45}}"#
    );
    advance(3661 * SECOND).await;
    assert_eq!(budget.operations(), OperationCounts::default());
}

#[tokio::test(start_paused = true)]
async fn a_warning_comes_at_80_percent_an_alert_above_90_and_an_event_for_each_refusal() {
    let budget = Budget::in_memory(enforced(100), wall_clock());
    let until = |count| while budget.check().count < count && budget.spend().is_ok() {};
    assert_eq!(Log::of(|| until(79)), [""; 0]);
    let line = |level: Level, event: &str, count: u32| {
        format!("{level} e2b_metrics message=[E2B_METRICS] event=\"{event}\" count={count} limit=100 percent={count}")
    };
    assert_eq!(Log::of(|| until(90)), [line(Level::WARN, "rate_limit_warning", 80)]);
    assert_eq!(Log::of(|| until(100)), [line(Level::WARN, "rate_limit_alert", 91)]);
    let refused = line(Level::WARN, "rate_limit_exceeded", 100);
    assert_eq!(Log::of(|| (0..2).for_each(|_| assert!(budget.spend().is_err()))), [refused.clone(), refused]);
    // The next hour crosses the thresholds again.
    advance(3600 * SECOND).await;
    assert_eq!(Log::of(|| until(100)).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_no_creation_and_allows_no_more() {
    let (folder, now) = (Folder::new(), wall_clock());
    let open = |limit| Budget::in_file(folder.file(), enforced(limit), now.clone());
    let budget = open(3);
    budget.spend().unwrap();
    advance(1800 * SECOND).await;
    budget.count("lifecycle");
    budget.spend().unwrap();
    // As when killed: nothing is written at the end.
    std::mem::forget(budget);
    let budget = open(3);
    assert_eq!(budget.check().count, 2);
    assert_eq!(budget.operations().by_operation["lifecycle"], 1);
    budget.count("lifecycle");
    drop(budget);
    // A lower limit waits until enough creations have left the hour.
    let spent = BudgetExceeded { count: 2, limit: 1, retry_after: 3600 * SECOND };
    assert_eq!(open(1).spend(), Err(spent));
    assert_eq!(open(3).operations().by_operation["lifecycle"], 2);
    advance(1800 * SECOND).await;
    assert_eq!(open(3).check().count, 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(folder.file().parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_is_renamed_and_logged() {
    let folder = Folder::new();
    let path = folder.file();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for damage in ["", "{\"creations\":{\"17", "{\"creations\":[]}", "\u{0}"] {
        fs::write(&path, damage).unwrap();
        let events = Log::of(|| {
            let budget = Budget::in_file(path.clone(), enforced(3), wall_clock());
            assert_eq!(budget.check().count, 0);
            budget.spend().unwrap();
        });
        assert!(events.len() == 1 && events[0].starts_with("WARN"), "{events:?}");
        assert_eq!(fs::read_to_string(path.with_file_name("budget.json.damaged")).unwrap(), damage);
        assert_eq!(Budget::in_file(path.clone(), enforced(3), wall_clock()).check().count, 1);
    }
    // Valid JSON with absurd numbers does not panic.
    fs::write(
        &path,
        format!("{{\"creations\":{{\"{0}\":{1}}},\"operations\":{{\"x\":{{\"{0}\":{0}}}}}}}", u64::MAX, u32::MAX),
    )
    .unwrap();
    assert_eq!(Budget::in_file(path.clone(), enforced(3), wall_clock()).check().count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_written_is_logged_once_and_the_budget_still_limits() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    let blocked = folder.0.join("a file");
    fs::write(&blocked, "").unwrap();
    let events = Log::of(|| write_into(&blocked));
    assert!(events.iter().filter(|line| line.contains("cannot be written")).count() == 1, "{events:?}");
}

fn write_into(blocked: &Path) {
    let budget = Budget::in_file(blocked.join("budget.json"), enforced(2), wall_clock());
    (0..2).for_each(|_| budget.spend().unwrap());
    assert!(budget.spend().is_err());
}
