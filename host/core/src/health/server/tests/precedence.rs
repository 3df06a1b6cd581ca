use super::*;

const ADMINS: [Admin; 3] = [Admin::Ready, Admin::Drain, Admin::Maint];
const STATES: [State; 4] = [State::Up, State::Down, State::Drain, State::Maint];
const HEALTHS: [Option<Health>; 3] = [None, Some(Health::Up), Some(Health::Down)];
const CHECKS: [Option<CheckHealth>; 4] =
    [None, Some(CheckHealth::Unknown), Some(CheckHealth::Up), Some(CheckHealth::Down)];

fn every_combination() -> impl Iterator<Item = (Bits, u16)> {
    ADMINS.into_iter().flat_map(|operator| {
        STATES.into_iter().flat_map(move |inherited| {
            ADMINS.into_iter().flat_map(move |agent_admin| {
                HEALTHS.into_iter().flat_map(move |agent_health| {
                    CHECKS.into_iter().flat_map(move |check| {
                        [0, 10].into_iter().map(move |weight| {
                            let operator = Operator { admin: operator, weight: None };
                            let bits = Bits {
                                operator,
                                inherited,
                                agent_admin,
                                agent_health,
                                check,
                                ..Bits::default()
                            };
                            (bits, weight)
                        })
                    })
                })
            })
        })
    })
}

/// What each source wants, and the strongest of it: said another way than the code says it.
fn expected(bits: &Bits, weight: u16) -> State {
    let of_admin = |admin| match admin {
        Admin::Ready => State::Up,
        Admin::Drain => State::Drain,
        Admin::Maint => State::Maint,
    };
    let wishes = [
        of_admin(bits.operator.admin),
        bits.inherited,
        of_admin(bits.agent_admin),
        if bits.agent_health == Some(Health::Down) { State::Down } else { State::Up },
        match bits.check {
            None | Some(CheckHealth::Up) => State::Up,
            Some(CheckHealth::Unknown | CheckHealth::Down) => State::Down,
        },
        if weight == 0 { State::Drain } else { State::Up },
    ];
    let strength = |state: &State| match state {
        State::Up => 0,
        State::Drain => 1,
        State::Down => 2,
        State::Maint => 3,
    };
    wishes.into_iter().max_by_key(strength).unwrap()
}

#[test]
fn the_strongest_wish_of_all_864_combinations_is_the_state() {
    let mut seen = 0;
    for (bits, weight) in every_combination() {
        assert_eq!(bits.state(weight).0, expected(&bits, weight), "{bits:?} at weight {weight}");
        seen += 1;
    }
    assert_eq!(seen, 3 * 4 * 3 * 3 * 4 * 2);
}

#[test]
fn who_is_named_as_the_cause_does_want_that_state() {
    for (bits, weight) in every_combination() {
        let (state, cause) = bits.state(weight);
        // Without the one who is named, either the state is another or somebody else wanted the same.
        let mut without = bits;
        let mut weight = weight;
        match cause {
            Cause::Nothing => assert_eq!(state, State::Up),
            Cause::Operator => without.operator.admin = Admin::Ready,
            Cause::Inherited => without.inherited = State::Up,
            Cause::Agent => (without.agent_admin, without.agent_health) = (Admin::Ready, None),
            Cause::Check => without.check = None,
            Cause::Weight => weight = 1,
        }
        if cause != Cause::Nothing {
            assert_ne!(without.state(weight), (state, cause), "{bits:?}");
        }
    }
}

#[test]
fn undoing_what_one_said_leaves_what_the_others_said() {
    for first in [Admin::Drain, Admin::Maint] {
        for second in [Admin::Drain, Admin::Maint] {
            let mut scene = Scene::new(with_agent());
            scene.on(admin(first));
            scene.agent(&format!("{second:?}"));
            scene.agent("ready");
            assert_eq!(scene.state(), expected_of(first), "an agent's ready is not an operator's");
            scene.agent(&format!("{second:?}"));
            scene.on(admin(Admin::Ready));
            assert_eq!(scene.state(), expected_of(second), "an operator's ready is not an agent's");
        }
    }
}

fn expected_of(admin: Admin) -> State {
    match admin {
        Admin::Ready => State::Up,
        Admin::Drain => State::Drain,
        Admin::Maint => State::Maint,
    }
}

#[test]
fn weight_is_the_operators_else_the_agents_else_the_configured_one() {
    let operators = [None, Some(Weight::Absolute(3)), Some(Weight::Percent(200)), Some(Weight::Absolute(0))];
    let agents = [None, Some(Weight::Absolute(7)), Some(Weight::Percent(50)), Some(Weight::Percent(0))];
    let table = [[10, 7, 5, 0], [3, 3, 3, 3], [20, 20, 20, 20], [0, 0, 0, 0]];
    for (operator, row) in operators.into_iter().zip(table) {
        for (agent_weight, weight) in agents.into_iter().zip(row) {
            let operator = Operator { admin: Admin::Ready, weight: operator };
            let bits = Bits { operator, agent_weight, ..Bits::default() };
            assert_eq!(bits.weight(10), weight, "{bits:?}");
        }
    }
}

#[test]
fn the_limit_is_the_agents_else_the_configured_one_and_zero_is_none() {
    for (agent_max_in_flight, limit) in [(None, Some(100)), (Some(30), Some(30)), (Some(0), None)] {
        let bits = Bits { agent_max_in_flight, ..Bits::default() };
        assert_eq!(bits.max_in_flight(Some(100)), limit);
    }
}
