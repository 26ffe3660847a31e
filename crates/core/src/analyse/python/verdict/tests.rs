//! Tests of the proof with the corpus in `tests/proof`: programs whose output may differ, and programs whose output is
//! always the same.

use std::fs;
use std::path::Path;

use switchtower_contract::{File, Program};

use crate::analyse::analyse;
use crate::analyse::profile::Verdict;

fn verdict(source: &str) -> Verdict {
    analyse(&Program::python(source)).verdict
}

/// Returns the programs in a folder of the corpus, each with its file and title.
fn corpus(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/proof").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut programs = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for part in text.split("#: ").skip(1) {
            let (name, source) = part.split_once('\n').unwrap();
            let file = file.file_stem().unwrap().to_string_lossy();
            programs.push((format!("{file}: {name}"), source.to_owned()));
        }
    }
    programs
}

#[test]
fn no_program_in_differ_is_proven() {
    let programs = corpus("differ");
    assert!(programs.len() > 200, "{}", programs.len());
    let passed: Vec<_> = programs.iter().filter(|(_, source)| verdict(source).deterministic).collect();
    assert!(passed.is_empty(), "proven: {passed:#?}");
}

#[test]
fn every_program_in_same_is_proven() {
    let refused: Vec<_> = corpus("same")
        .into_iter()
        .map(|(name, source)| (name, verdict(&source)))
        .filter(|(_, verdict)| !verdict.deterministic)
        .map(|(name, verdict)| (name, verdict.reasons))
        .collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
}

/// Programs that draw random numbers. `SEED` or `NPSEED` stands for the call that seeds the generator.
const SEEDED: [&str; 9] = [
    "import random\nSEED\nprint(random.random())\n",
    "import random\nSEED\nxs = [1, 2, 3]\nrandom.shuffle(xs)\nprint(xs)\n",
    "import random\ndef f():\n    return random.randint(1, 6)\nSEED\nprint([f() for _ in range(3)])\n",
    "import random\nclass D:\n    def __repr__(self):\n        return str(random.random())\nSEED\nprint(D())\n",
    "import random\nSEED\nprint(sorted([3, 1, 2], key=lambda x: random.random()))\n",
    "import random\nSEED\nfor i in range(3):\n    print(random.choice('abc'))\n",
    "import numpy as np\nNPSEED\nprint(np.random.rand(3))\n",
    "import numpy as np\nimport pandas as pd\nNPSEED\ndf = pd.DataFrame({'a': np.random.normal(0, 1, 5)})\nprint(df.mean())\n",
    "import numpy as np\ndef f(n):\n    return np.random.randint(0, 9, n)\nif __name__ == '__main__':\n    NPSEED\n    print(f(3))\n",
];

/// Statements in which a seed may not run, or is not a seed. None is a block under `if __name__`.
const GUARDS: [&str; 46] = [
    "pass",
    "0 and SEED",
    "1 or SEED",
    "SEED if 0 else None",
    "None if 1 else SEED",
    "1 < 0 < (SEED or 1)",
    "[SEED for _ in ()]",
    "{SEED for _ in ()}",
    "{1: SEED for _ in ()}",
    "(SEED for _ in (1,))",
    "any(SEED for _ in ())",
    "f0 = lambda: SEED",
    "f0 = lambda x=1: SEED",
    "assert SEED is None",
    "assert 1, SEED",
    "if 0: SEED",
    "if 1: pass\nelse: SEED",
    "if 1: pass\nelif SEED: pass",
    "while 0: SEED",
    "while 0: pass\nelse: SEED",
    "for q in (): SEED",
    "for q in (1,):\n    continue\n    SEED",
    "for q in (1,):\n    break\nelse:\n    SEED",
    "while True:\n    break\n    SEED",
    "def f0(): SEED",
    "def f0():\n    return 1\n    SEED\nf0()",
    "def f0():\n    yield 1\n    SEED\nf0()",
    "def f0(x=lambda: SEED): pass",
    "async def f0(): SEED",
    "class A0:\n    def __repr__(self): return SEED",
    "class A0:\n    def __repr__(self): return ''\n    def f(self): SEED",
    "try:\n    {}['a']\n    SEED\nexcept KeyError: pass",
    "try: pass\nexcept KeyError: SEED",
    "try:\n    {}['a']\nexcept KeyError: pass\nelse: SEED",
    "match 1:\n    case 2: SEED",
    "match 1:\n    case 2 if SEED is None: pass",
    "x0 = 0 and SEED",
    "x0: int = 0 and SEED",
    "print(end='') and SEED",
    "not 1 and SEED",
    "[1, 2][0] == 3 and SEED",
    "'SEED'",
    "# SEED",
    "MODULE.seed()",
    "MODULE.seed(None)",
    "MODULE.seed",
];

#[test]
fn a_seed_that_is_removed_moved_or_guarded_determines_no_draw() {
    for program in SEEDED {
        let (mark, module) = if program.contains("NPSEED") { ("NPSEED", "np.random") } else { ("SEED", "random") };
        let seed = format!("{module}.seed(3)");
        let whole = program.replace(mark, &seed);
        assert!(verdict(&whole).deterministic, "{whole}\n{:?}", verdict(&whole).reasons);
        let mut broken = vec![format!("{}{seed}\n", program.replace(mark, "pass"))];
        // No seed, the other generator's seed, and one that is not a literal.
        broken.push(program.replace(mark, "import random, numpy as np; pass"));
        let other =
            if module == "random" { "import numpy as np; np.random.seed(3)" } else { "import random; random.seed(3)" };
        broken.push(program.replace(mark, other));
        broken.push(format!("s0 = None\n{}", program.replace(mark, &format!("{module}.seed(s0)"))));
        for guard in GUARDS {
            let guard = guard.replace("SEED", &seed).replace("MODULE", module);
            let indented = if program.contains("    NPSEED") { guard.replace('\n', "\n    ") } else { guard };
            broken.push(program.replace(mark, &indented));
        }
        for source in broken {
            assert!(analyse(&Program::python(&*source)).parses, "{source}");
            assert!(!verdict(&source).deterministic, "{source}");
        }
    }
}

#[test]
fn a_program_with_files_is_not_proven() {
    let file = File { path: "textwrap.py".to_owned(), content: b"import random\n".to_vec() };
    let source = "import textwrap\nprint(textwrap.dedent('a'))";
    assert!(verdict(source).deterministic);
    assert!(!analyse(&Program { files: vec![file], ..Program::python(source) }).verdict.deterministic);
}
