//! Effects, and the files that a program reaches.

use super::{effects, profile};
use crate::analyse::{Class, FileScope};

#[test]
fn effects_are_found_through_aliases_and_getattr() {
    for source in [
        "import time\nprint(time.time())",
        "from time import perf_counter as p\nprint(p())",
        "import time as t\nf = t.time\nprint(f())",
        "t = __import__('time')\nprint(t.time())",
        "print(getattr(__import__('time'), 'time')())",
        "from datetime import datetime\nprint(datetime.now())",
    ] {
        assert_eq!(effects(source), ["clock"], "{source}");
    }
    assert_eq!(effects("import requests\nprint(requests.get('http://x'))"), ["network"]);
    assert_eq!(effects("import os\nos.system('ls')"), ["processes"]);
    assert_eq!(effects("import os\nprint(os.environ['HOME'])"), ["environment"]);
    assert_eq!(effects("import pandas as pd\npd.read_csv('https://x/y.csv')"), ["network"]);
    assert_eq!(effects("import threading\nthreading.Thread(target=print).start()"), ["threads"]);
}

#[test]
fn paths_determine_the_file_scope() {
    for (source, reach) in [
        ("open('a.txt', 'w').write('x')", FileScope::Scratch),
        ("open('/tmp/a')", FileScope::Scratch),
        ("from pathlib import Path\nPath('/home/user/a').write_text('x')", FileScope::Scratch),
        ("open('/etc/passwd')", FileScope::Outside),
        ("open('/tmpfoo')", FileScope::Outside),
        ("open('../a')", FileScope::Outside),
        ("import sys\nopen(sys.argv[1])", FileScope::Computed),
        ("import pandas as pd, io\npd.read_csv(io.StringIO('a,b'))", FileScope::None),
        ("import sqlite3\nsqlite3.connect(':memory:')", FileScope::None),
    ] {
        assert_eq!(profile(source).files, reach, "{source}");
    }
}

#[test]
fn only_a_literal_seed_that_runs_before_a_draw_determines_it() {
    for source in [
        "import random\nrandom.seed(42)\nprint(random.random())",
        "import random\nrng = random.Random(3)\nprint(rng.random())",
        "import numpy as np\nrng = np.random.default_rng(0)\nprint(rng.normal())",
        "import random\ndef f():\n    return random.random()\nrandom.seed(1)\nprint(f())",
        "import numpy as np\nnp.random.seed(0)\nprint(np.random.rand(3))",
    ] {
        assert_eq!(effects(source), [] as [&str; 0], "{source}");
    }
    for source in [
        "import random\nprint(random.random())",
        "import random\nrandom.seed()\nprint(random.random())",
        "import random\nrandom.seed(None)\nprint(random.random())",
        "import random\nprint(random.random())\nrandom.seed(1)",
        "import random\ndef f():\n    return random.random()\nprint(f())\nrandom.seed(1)",
        "import random\nif x:\n    random.seed(1)\nprint(random.random())",
        "import random\nprint(random.Random().random())",
        "from random import choice as c\nprint(c([1, 2]))",
        "import random as r\nprint(list(map(r.choice, [[1, 2]])))",
        "import numpy as np\nprint(np.random.default_rng().normal())",
        "import random\nrandom.seed(1)\nimport numpy as np\nprint(np.random.rand())",
        "import uuid\nprint(uuid.uuid4())",
        "import secrets\nprint(secrets.token_hex())",
        "import os\nprint(os.urandom(3))",
        "print(getattr(__import__('random'), 'random')())",
        "print(df.sample(3))",
    ] {
        assert_eq!(effects(source), ["randomness"], "{source}");
    }
}

#[test]
fn shell_lines_and_magics_are_recognised() {
    assert_eq!(effects("!pip install x\nprint(1)"), ["shell"]);
    assert_eq!(effects("files = !ls"), ["shell"]);
    assert_eq!(effects("%matplotlib inline\nprint(1)"), ["magic"]);
    assert_eq!(effects("%%bash\nls | grep '("), ["shell"]);
    assert_eq!(effects("%%time\nprint(1)"), ["magic"]);
    assert_eq!(effects("%%html\n<b>'</b>"), ["magic"]);
    assert_eq!(profile("%%bash\nls").class, Class::Shell);
    assert!(profile("%%bash\nls | grep '(").parses);
}

#[test]
fn the_network_is_certain_only_where_something_that_runs_leads_to_it() {
    const FETCH: &str = "import requests\ndef fetch(url):\n    return requests.get(url).text\n";
    let of = |source: &str| profile(source).network.name();
    for (source, expected) in [
        ("print(1)", "none"),
        ("import requests\nrequests.get('https://x.org')", "certain"),
        (
            "import urllib.request\nfor u in ['a']:\n    try:\n        urllib.request.urlopen(u)\n    except OSError: pass",
            "certain",
        ),
        (FETCH, "possible"),
        (&format!("{FETCH}print(fetch('a'))"), "certain"),
        (&format!("{FETCH}if __name__ == '__main__':\n    print(fetch('a'))"), "certain"),
        (&format!("{FETCH}def main():\n    fetch('a')\nmain()"), "certain"),
        (&format!("{FETCH}def main():\n    fetch('a')"), "possible"),
        (&format!("{FETCH}print(list(map(fetch, ['a'])))"), "certain"),
        (&format!("{FETCH}class Page:\n    def load(self):\n        return fetch('a')\nPage().load()"), "certain"),
        (&format!("{FETCH}class Page:\n    def load(self):\n        return fetch('a')\nPage()"), "possible"),
        ("import requests\nclass Page:\n    def __init__(self):\n        requests.get('a')\nPage()", "certain"),
        (&format!("{FETCH}responses = [fetch('a')]\nprint(responses)"), "certain"),
        // A test with mocks.
        (&format!("{FETCH}from unittest.mock import patch\nwith patch('requests.get'):\n    fetch('a')"), "possible"),
        ("from unittest.mock import patch\nimport requests\nrequests.get('a')", "certain"),
        // Input that is not given ends the program.
        (&format!("{FETCH}url = input('url: ')\nprint(fetch(url))"), "possible"),
        (&format!("{FETCH}print(fetch('a'))\ninput()"), "certain"),
        (&format!("{FETCH}try:\n    url = input()\nexcept EOFError:\n    url = 'a'\nprint(fetch(url))"), "certain"),
    ] {
        assert_eq!(of(source), expected, "{source}");
    }
}
