//! Random numbers and clocks: a program that reads them is never pure, and a seed makes both deterministic.

use switchtower_contract::{Effect, Effects};

use super::harness::{stdout_of, test_program};

#[test]
fn every_source_of_random_numbers_is_observed_and_differs_between_runs() {
    for source in [
        "import random; print(random.random())",
        "from random import random; print(random())",
        "print(__import__('random').random())",
        "import importlib; print(importlib.import_module('random').getrandbits(64))",
        "import sys; print(sys.modules['random'].random())",
        "import random; print(getattr(random, 'ran' + 'dom')())",
        "exec('import random\\nprint(random.random())')",
        "import random; print(random.Random().random())",
        "import random; print(random.Random(None).random())",
        "import random; print(type(random.Random(1))().random())",
        "import random; print(random._inst.random())",
        "import _random; print(_random.Random().random())",
        "import random; random.seed(); print(random.random())",
        "import random; random.seed(None); print(random.random())",
        "import random; r = random.Random(5); r.seed(); print(r.random())",
        "import random; print(random.gauss(0, 1), random.choice(range(10**9)))",
        "import random; x = list(range(99)); random.shuffle(x); print(x)",
        "import random; print(random.SystemRandom().random())",
        "import random; print(hash(random.getstate()))",
        "import random, copy; print(copy.deepcopy(random._inst).random())",
        "import random, pickle; print(pickle.loads(pickle.dumps(random.Random())).random())",
        "class Mine(__import__('random').Random): pass\nprint(Mine().random())",
        "import uuid; print(uuid.uuid4())",
        "import secrets; print(secrets.token_hex(8))",
        "import os; print(os.urandom(8))",
        "import tempfile; print(tempfile.mkdtemp())",
    ] {
        let (one, two) = (test_program(source).in_worker(), test_program(source).in_worker());
        assert_ne!(one.stdout(), two.stdout(), "{source}");
        assert!(one.observed().has(Effect::Randomness) && two.observed().has(Effect::Randomness), "{source}");
    }
}

#[test]
fn every_way_to_read_the_clock_is_observed() {
    for source in [
        "import time; print(time.time())",
        "import time; print(time.time_ns(), time.monotonic_ns(), time.perf_counter_ns())",
        "import time; print(time.process_time())",
        "import time; print(time.localtime().tm_year)",
        "import time; print(time.strftime('%Y'))",
        "import time; print(time.ctime())",
        "import datetime; print(datetime.datetime.now())",
        "import datetime; print(datetime.datetime.now(datetime.timezone.utc))",
        "import datetime; print(datetime.date.today())",
        "from datetime import datetime as d; print(getattr(d, 'to' + 'day')())",
        "import email.utils; print(email.utils.formatdate())",
        "import timeit; print(timeit.timeit('1', number=1))",
        "import os; print(os.times())",
        "import uuid; print(uuid.uuid1())",
        "import os; open('f', 'w').close(); print(os.stat('f').st_mtime)",
        "import os; open('f', 'w').close(); print(os.path.getmtime('f'))",
        "import pathlib; p = pathlib.Path('f'); p.touch(); print(p.stat().st_ctime_ns)",
        "import logging, sys; logging.basicConfig(format='%(asctime)s', stream=sys.stdout); logging.error('x')",
    ] {
        let ran = test_program(source).in_worker();
        ran.stdout();
        assert!(ran.observed().has(Effect::Clock), "{source}");
    }
}

#[test]
fn every_way_to_read_the_identity_of_the_process_is_observed() {
    for source in [
        "import os; print(os.getpid())",
        "import socket; print(socket.gethostname())",
        "import platform; print(platform.node())",
        "import uuid; print(uuid.getnode())",
    ] {
        let ran = test_program(source).in_worker();
        ran.stdout();
        assert!(!ran.observed().is_empty(), "{source}");
    }
}

#[test]
fn a_program_with_a_literal_seed_and_without_a_clock_is_pure() {
    for source in [
        "import random, uuid, secrets, time, datetime, os, tempfile",
        "import random; random.seed(1); print(random.random(), random.gauss(0, 1), random.sample(range(99), 5))",
        "import random; print(random.Random(1).random(), random.Random('text').choice('abc'))",
        "import random; random.seed(1); s = random.getstate(); random.random(); random.setstate(s); print(random.random())",
        "import uuid; print(uuid.uuid5(uuid.NAMESPACE_DNS, 'example.org'))",
        "import datetime; print(datetime.datetime(2020, 1, 1) + datetime.timedelta(days=1))",
        "import time; print(time.strptime('2020', '%Y').tm_year, time.gmtime(0).tm_year); time.sleep(1)",
        "import os; open('f', 'w').write('text'); print(os.path.getsize('f'), os.path.exists('g'))",
        "import hashlib; print(hashlib.sha256(b'text').hexdigest())",
    ] {
        let (one, two) = (test_program(source).in_worker(), test_program(source).in_worker());
        assert_eq!(one.stdout(), two.stdout(), "{source}");
        assert_eq!(one.observed(), Effects::NONE, "{source}");
    }
}

/// A program that prints everything that may differ between two runs or two machines.
const EVERYTHING: &str = "\
import asyncio, datetime, os, random, secrets, tempfile, time, uuid
class A:
    pass
print(time.time(), time.monotonic(), time.perf_counter_ns(), datetime.datetime.now(), time.process_time())
time.sleep(2.5)
print(time.time_ns(), datetime.date.today(), time.localtime())
print(random.random(), random.getrandbits(99), random.Random().random(), random.SystemRandom().random())
print(uuid.uuid4(), uuid.uuid1(), secrets.token_hex(9), os.urandom(5), tempfile.mkdtemp())
print(id(A()), A(), A, object(), lambda: 0, hash('text'), hash(A()))
print({'one', 'two', 'three', 'four'}, {A, int, 'x', 1.5}, os.getpid())
open('f', 'w').close()
print(os.stat('f'))
async def two():
    print(asyncio.get_running_loop().time())
    await asyncio.sleep(1)
    print(asyncio.get_running_loop().time())
asyncio.run(two())";

#[test]
fn a_seed_gives_the_same_bytes_twice_and_in_both_forms_of_the_tier() {
    let seeded = test_program(EVERYTHING).seeded(7);
    let first = seeded.in_worker();
    assert_eq!(first.stdout(), seeded.in_worker().stdout());
    assert_eq!(first.stdout(), seeded.in_process().stdout());
    assert_ne!(first.stdout(), test_program(EVERYTHING).seeded(8).in_worker().stdout());
}

#[test]
fn a_seeded_program_that_waits_for_its_clock_ends() {
    let waiting = "import time\nend = time.monotonic() + 0.01\nwhile time.monotonic() < end: pass\nprint('done')";
    assert_eq!(test_program(waiting).seeded(1).in_worker().stdout(), "done\n");
}

#[test]
fn input_and_environment_are_observed_only_if_they_were_not_given() {
    let read = "import sys; print(repr(sys.stdin.read()))";
    assert!(test_program(read).in_worker().observed().has(Effect::Stdin));
    assert_eq!(test_program(read).with_stdin("").in_worker().observed(), Effects::NONE);
    assert_eq!(stdout_of("print(1)"), "1\n");
    let read_environment = "import os; print(os.environ.get('HOME'), os.getenv('USER'))";
    assert!(test_program(read_environment).in_worker().observed().has(Effect::Environment));
    let mut with_variables = test_program(read_environment);
    with_variables.program.env = Some([("USER".to_owned(), "ada".to_owned())].into());
    let with_variables = with_variables.in_worker();
    assert_eq!(with_variables.observed(), Effects::NONE);
    assert!(with_variables.stdout().ends_with(" ada\n"), "{with_variables:?}");
}
