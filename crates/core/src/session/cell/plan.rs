//! The plan of a cell: its steps, decided before the first one is taken.
//!
//! Everything here is a pure function of the route, the offers of its tiers, and the placement of the context.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::context::GivenUp;
use super::super::placement::{ContextPlacement, Rebuild};
use crate::route::TierName;

/// A leg of the cell's route, with what its tier offers to sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfferedLeg {
    pub(super) tier: TierName,
    pub(super) budget: Option<Duration>,
    pub(super) offer: SessionOffer,
}

/// What a tier offers to sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionOffer {
    /// Kernels in local sandboxes.
    Kernels,
    /// Machines.
    Machine,
    /// Neither.
    Nothing,
}

/// Whether the session may use a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MachineAccess {
    /// It has a machine.
    Leased,
    /// It may lease one.
    Allowed,
}

/// The state of the context and its session before the cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Situation {
    pub(super) placement: ContextPlacement,
    pub(super) machine: MachineAccess,
    /// The tier of its machine, if that is one of this host.
    pub(super) local_machine: Option<TierName>,
    /// Set if the context's kernel was given up since the last cell.
    pub(super) given_up: Option<GivenUp>,
    /// Whether an earlier cell lacked something that only a machine has, in a kernel that it could not leave.
    pub(super) needs_machine: bool,
}

/// One step of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Report that the context's kernel was given up. The cell does not run, because it may use names that are lost.
    ReportGivenUp(GivenUp),
    /// Move the session to a machine; stay local if none is available now.
    TryPromote(Vec<TierName>),
    /// Run the cell in a local kernel.
    RunLocal(LocalLeg),
    /// Move the context to the session's machine, after leasing one from these tiers if the session has none.
    Promote(Vec<TierName>),
    /// Move the session on from its machine of this host to one of these tiers; stay there if part of it cannot.
    MoveOn(Vec<TierName>),
    /// Run the cell in its kernel on the machine.
    RunRemote,
}

/// A local tier to run the cell in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalLeg {
    pub(super) tier: TierName,
    /// How long the cell may run before it moves to the next tier; `None`: it does not move to another one.
    pub(super) budget: Option<Duration>,
}

/// The steps of a cell. Each step is taken unless an earlier one ended the cell.
pub(super) type Steps = VecDeque<Step>;

/// Returns the steps of a cell.
pub(super) fn plan(route: &[OfferedLeg], situation: &Situation) -> Steps {
    if let Some(given_up) = &situation.given_up {
        return [Step::ReportGivenUp(given_up.clone())].into();
    }
    let machines = machines(route);
    let here = situation.local_machine.as_ref().filter(|here| !machines.is_empty() && !machines.contains(here));
    let moves_on = here.map(|_| Step::MoveOn(machines.clone()));
    if situation.placement == ContextPlacement::Remote {
        return moves_on.into_iter().chain([Step::RunRemote]).collect();
    }
    if situation.machine == MachineAccess::Leased {
        return moves_on.into_iter().chain([Step::Promote(machines), Step::RunRemote]).collect();
    }
    let local = local_legs(route, situation, !machines.is_empty());
    let mut steps = Steps::new();
    if situation.needs_machine && !machines.is_empty() {
        steps.push_back(Step::TryPromote(machines.clone()));
    }
    let has_local = !local.is_empty();
    steps.extend(local.into_iter().map(Step::RunLocal));
    // With neither a local tier nor a machine, the promotion returns the error.
    if !machines.is_empty() || !has_local {
        steps.extend([Step::Promote(machines), Step::RunRemote]);
    }
    steps
}

fn machines(route: &[OfferedLeg]) -> Vec<TierName> {
    let machines = route.iter().filter(|leg| leg.offer == SessionOffer::Machine);
    machines.map(|leg| leg.tier.clone()).collect()
}

/// Returns the local tiers that the cell may run in: those before the first machine of the route. A context whose state cannot
/// be rebuilt stays in its tier for every cell that may run in any local tier.
fn local_legs(route: &[OfferedLeg], situation: &Situation, has_machines: bool) -> Vec<LocalLeg> {
    let before = route.iter().take_while(|leg| leg.offer != SessionOffer::Machine);
    let mut legs: Vec<LocalLeg> = before
        .filter(|leg| leg.offer == SessionOffer::Kernels)
        .map(|leg| LocalLeg { tier: leg.tier.clone(), budget: Some(leg.budget.unwrap_or(Duration::MAX)) })
        .collect();
    if let ContextPlacement::Local { tier, rebuild: Rebuild::Never } = &situation.placement
        && !legs.is_empty()
    {
        return vec![LocalLeg { tier: tier.clone(), budget: None }];
    }
    if let Some(last) = legs.last_mut().filter(|_| !has_machines) {
        last.budget = None;
    }
    legs
}

/// Returns the remaining steps after the cell lacked something in the tier of `leg`. `provides` returns whether another tier
/// may provide it. If none does, the cell runs in the same tier again, to its own exception.
pub(super) fn steps_after_need(mut left: Steps, leg: &LocalLeg, provides: impl Fn(&TierName) -> bool) -> Steps {
    while let Some(step) = left.front() {
        match step {
            Step::RunLocal(next) if !provides(&next.tier) => drop(left.pop_front()),
            _ => return left,
        }
    }
    [Step::RunLocal(LocalLeg { tier: leg.tier.clone(), budget: None })].into()
}

/// Returns the remaining steps after the session has moved to a machine for this cell.
pub(super) fn steps_after_promotion() -> Steps {
    [Step::RunRemote].into()
}

/// Returns the preferred tier of the machine that a later step moves to.
pub(super) fn next_machine(left: &Steps) -> Option<&TierName> {
    left.iter().find_map(|step| match step {
        Step::Promote(tiers) => tiers.first(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn leg(tier: &str) -> OfferedLeg {
        let (name, budget) = tier.split_once(':').map_or((tier, None), |(name, s)| (name, s.parse().ok()));
        let offer = match name {
            "wasm" | "native" => SessionOffer::Kernels,
            "e2b" | "dedicated" => SessionOffer::Machine,
            _ => SessionOffer::Nothing,
        };
        OfferedLeg { tier: name.into(), budget: budget.map(Duration::from_secs), offer }
    }

    fn route(legs: &str) -> Vec<OfferedLeg> {
        legs.split_whitespace().map(leg).collect()
    }

    fn placement(name: &str) -> ContextPlacement {
        match name {
            "unplaced" => ContextPlacement::Unplaced,
            "remote" => ContextPlacement::Remote,
            "wasm" => ContextPlacement::Local { tier: "wasm".into(), rebuild: Rebuild::ByReplay },
            tier => ContextPlacement::Local { tier: tier.into(), rebuild: Rebuild::Never },
        }
    }

    fn situation(placed: &str, machine: MachineAccess) -> Situation {
        Situation { placement: placement(placed), machine, local_machine: None, given_up: None, needs_machine: false }
    }

    fn names(tiers: &[TierName]) -> String {
        tiers.iter().map(TierName::as_str).collect::<Vec<_>>().join("|")
    }

    fn written(steps: &Steps) -> String {
        let step = |step: &Step| match step {
            Step::ReportGivenUp(_) => "report".to_owned(),
            Step::TryPromote(tiers) => format!("try({})", names(tiers)),
            Step::RunLocal(LocalLeg { tier, budget: None }) => format!("{tier}!"),
            Step::RunLocal(LocalLeg { tier, budget: Some(Duration::MAX) }) => tier.to_string(),
            Step::RunLocal(LocalLeg { tier, budget: Some(budget) }) => format!("{tier}:{}", budget.as_secs()),
            Step::Promote(tiers) => format!("promote({})", names(tiers)),
            Step::MoveOn(tiers) => format!("move_on({})", names(tiers)),
            Step::RunRemote => "remote".to_owned(),
        };
        steps.iter().map(step).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn plans_for_each_route_placement_and_machine_access() {
        use MachineAccess::{Allowed, Leased};
        let routes = ["wasm:10 native e2b dedicated", "native e2b wasm", "e2b wasm", "wasm:10 native", "other"];
        let mut table = String::new();
        for legs in routes {
            writeln!(table, "{legs}").unwrap();
            for (access, machine) in [("allowed", Allowed), ("leased", Leased)] {
                for placed in ["unplaced", "wasm", "native", "remote"] {
                    let steps = plan(&route(legs), &situation(placed, machine));
                    writeln!(table, "  {access:<7} {placed:<8} -> {}", written(&steps)).unwrap();
                }
            }
        }
        insta::assert_snapshot!(table, @r"
        wasm:10 native e2b dedicated
          allowed unplaced -> wasm:10 native promote(e2b|dedicated) remote
          allowed wasm     -> wasm:10 native promote(e2b|dedicated) remote
          allowed native   -> native! promote(e2b|dedicated) remote
          allowed remote   -> remote
          leased  unplaced -> promote(e2b|dedicated) remote
          leased  wasm     -> promote(e2b|dedicated) remote
          leased  native   -> promote(e2b|dedicated) remote
          leased  remote   -> remote
        native e2b wasm
          allowed unplaced -> native promote(e2b) remote
          allowed wasm     -> native promote(e2b) remote
          allowed native   -> native! promote(e2b) remote
          allowed remote   -> remote
          leased  unplaced -> promote(e2b) remote
          leased  wasm     -> promote(e2b) remote
          leased  native   -> promote(e2b) remote
          leased  remote   -> remote
        e2b wasm
          allowed unplaced -> promote(e2b) remote
          allowed wasm     -> promote(e2b) remote
          allowed native   -> promote(e2b) remote
          allowed remote   -> remote
          leased  unplaced -> promote(e2b) remote
          leased  wasm     -> promote(e2b) remote
          leased  native   -> promote(e2b) remote
          leased  remote   -> remote
        wasm:10 native
          allowed unplaced -> wasm:10 native!
          allowed wasm     -> wasm:10 native!
          allowed native   -> native!
          allowed remote   -> remote
          leased  unplaced -> promote() remote
          leased  wasm     -> promote() remote
          leased  native   -> promote() remote
          leased  remote   -> remote
        other
          allowed unplaced -> promote() remote
          allowed wasm     -> promote() remote
          allowed native   -> promote() remote
          allowed remote   -> remote
          leased  unplaced -> promote() remote
          leased  wasm     -> promote() remote
          leased  native   -> promote() remote
          leased  remote   -> remote
        ");
    }

    #[test]
    fn a_kernel_that_was_given_up_is_reported_for_every_placement() {
        for placed in ["unplaced", "wasm", "native", "remote"] {
            let given_up = Some(GivenUp { tier: "native".into(), why: "idle".to_owned() });
            let situation = Situation { given_up, needs_machine: true, ..situation(placed, MachineAccess::Allowed) };
            assert_eq!(written(&plan(&route("wasm e2b"), &situation)), "report");
        }
    }

    #[test]
    fn a_machine_that_an_earlier_cell_needed_is_tried_first_if_the_session_may_have_one() {
        let needing = |machine| Situation { needs_machine: true, ..situation("native", machine) };
        let steps = |legs, machine| written(&plan(&route(legs), &needing(machine)));
        assert_eq!(steps("wasm native e2b", MachineAccess::Allowed), "try(e2b) native! promote(e2b) remote");
        assert_eq!(steps("wasm native", MachineAccess::Allowed), "native!");
        assert_eq!(steps("wasm native e2b", MachineAccess::Leased), "promote(e2b) remote");
    }

    #[test]
    fn after_a_need_the_cell_skips_tiers_that_do_not_provide_it_and_without_another_tier_it_runs_again() {
        let ran = LocalLeg { tier: "wasm".into(), budget: Some(Duration::MAX) };
        let after = |legs: &str, having: &str| {
            let mut left = plan(&route(legs), &situation("unplaced", MachineAccess::Allowed));
            left.pop_front();
            written(&steps_after_need(left, &ran, |tier| tier.as_str() == having))
        };
        assert_eq!(after("wasm native e2b", "native"), "native promote(e2b) remote");
        assert_eq!(after("wasm native e2b", "none"), "promote(e2b) remote");
        assert_eq!(after("wasm native", "native"), "native!");
        assert_eq!(after("wasm native", "none"), "wasm!");
        assert_eq!(after("wasm", "none"), "wasm!");
    }
}
