//! Imports, and the modules that a program needs.

use switchtower_contract::{File, Program};

use super::profile;
use crate::analyse::{StaticEffect, analyse};

#[test]
fn an_import_is_used_only_if_its_name_is_read() {
    let profile = profile("import numpy\nimport math as m\nfrom os import path, sep\nprint(m.pi, sep)\n");
    let used: Vec<_> = profile.imports.iter().map(|import| (import.module.as_str(), import.used)).collect();
    assert_eq!(used, [("numpy", false), ("math", true), ("os", true)]);
    assert_eq!(profile.needed_modules().collect::<Vec<_>>(), ["math", "os"]);
}

#[test]
fn an_import_whose_failure_is_handled_is_optional() {
    let source = "try:\n    import ujson as json\nexcept ImportError:\n    import json\nprint(json.dumps(1))";
    assert!(profile(source).imports.iter().all(|import| import.optional));
    assert!(profile("from numpy import *\nprint(zeros(3))").imports[0].used);
}

#[test]
fn dynamic_imports_with_a_literal_are_imports() {
    for source in [
        "print(__import__('pandas').__version__)",
        "import importlib\nprint(importlib.import_module('pandas').DataFrame())",
        "from importlib import import_module\npd = import_module('pandas')\nprint(pd.DataFrame())",
    ] {
        assert!(profile(source).needed_modules().any(|module| module == "pandas"), "{source}");
    }
}

#[test]
fn a_module_among_the_files_of_a_program_is_not_required_of_a_tier() {
    let files = ["mine.py", "/home/user/package/part.py", "data.csv", "/tmp/elsewhere.py"];
    let files = files.map(|path| File { path: path.to_owned(), content: vec![] }).to_vec();
    let source = "import mine, package.part, data, elsewhere, pandas\nprint(mine, package, data, elsewhere, pandas)";
    let profile = analyse(&Program { files, ..Program::python(source) });
    assert_eq!(profile.needed_modules().collect::<Vec<_>>(), ["data", "elsewhere", "pandas"]);
}

#[test]
fn a_module_whose_file_the_program_names_is_not_required_of_a_tier_and_not_trusted() {
    let source = "open('helper.py', 'w').write('import random; X = random.random()')\nimport helper, other\nprint(helper, other)";
    let written = profile(source);
    assert_eq!(written.needed_modules().collect::<Vec<_>>(), ["other"]);
    assert!(!written.verdict.deterministic);
    for source in [
        "import os\nos.mkdir('tools')\nopen('tools/__init__.py', 'w')\nimport tools\nprint(tools)",
        "import os\nopen(os.path.join('tools', '__init__.py'), 'w')\nimport tools\nprint(tools)",
        "open('/home/user/tools/part.py', 'w')\nimport tools.part\nprint(tools)",
    ] {
        let written = profile(source);
        assert!(!written.needed_modules().any(|module| module == "tools"), "{source}");
        assert!(!written.verdict.deterministic, "{source}");
    }
    let shadowed = profile("open('json.py', 'w').write('X = 1')\nimport json\nprint(json.X)");
    assert!(!shadowed.verdict.deterministic, "CPython imports the file");
    for source in [
        "import pandas\nprint(pandas.__version__)  # see pandas.py",
        "import helper\nprint(helper)  # my_helper.py",
        "import helper\nprint(helper)",
    ] {
        assert_eq!(profile(source).needed_modules().count(), 1, "{source}");
    }
}

#[test]
fn a_program_that_starts_pip_needs_a_tier_with_pip_and_no_process() {
    let programs = [
        "import subprocess, sys\nsubprocess.check_call([sys.executable, '-m', 'pip', 'install', 'numpy'])",
        "import subprocess as sp\nsp.run(['pip', 'install', '-q', 'numpy'], stdout=sp.DEVNULL, stderr=sp.STDOUT)",
        "from subprocess import run, PIPE\nrun(('/usr/bin/pip3', 'list'), stdout=PIPE)",
        "import os\nos.system('pip install numpy > /dev/null 2>&1')",
        "import os, sys\nos.system(f'{sys.executable} -m pip install numpy')",
        "import subprocess\nsubprocess.run('python3.11 -m pip install numpy', shell=True, check=True)",
        "import subprocess, sys\ndef install(name):\n    subprocess.check_call([sys.executable, '-m', 'pip', 'install', name])\ninstall('numpy')",
        "import asyncio, sys\nasync def f():\n    await asyncio.create_subprocess_exec(sys.executable, '-m', 'pip', 'list')\nasyncio.run(f())",
        "import asyncio\nasync def f():\n    await asyncio.create_subprocess_shell('pip list', stdout=asyncio.subprocess.PIPE)\nasyncio.run(f())",
        "import subprocess\ntry:\n    subprocess.run(args=['uv', 'pip', 'install', 'numpy'])\nexcept subprocess.CalledProcessError:\n    pass",
    ];
    for source in programs {
        let profile = profile(source);
        assert!(profile.needed_modules().any(|module| module == "pip"), "{source}");
        assert!(!profile.effects.contains(&StaticEffect::Processes), "{source}");
        assert!(!profile.verdict.deterministic, "{source}");
    }
    for source in [
        "import subprocess\nsubprocess.run(['ls'])",
        "import subprocess\nsubprocess.run(['bash', '-c', 'ls'])",
        "import asyncio\nasync def f():\n    await asyncio.create_subprocess_exec('ls', '-l')\nasyncio.run(f())",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pip'])",
        "import subprocess\ncommand = ['pip', 'install', 'numpy']\nsubprocess.run(command)",
        "import subprocess\nsubprocess.run(['pipx', 'install', 'numpy'])",
        "import subprocess\nstart = subprocess.run\nstart(['pip', 'list'])",
    ] {
        assert!(profile(source).effects.contains(&StaticEffect::Processes), "{source}");
    }
}

#[test]
fn a_line_of_pip_and_of_small_tools_needs_no_process() {
    let profile_of = |line: &str| profile(&format!("import os\nos.system({line:?})"));
    for line in [
        "pip install -q numpy | tail -1",
        "pip install numpy && echo ok || echo no; pip3.11 list",
        "pip list 2>/dev/null | grep -iE '^(numpy|pandas) ' | head -n 3",
        "pip list | tail -n +3 | cat",
        "PIP_NO_INPUT=1 python3 -W ignore -u -m pip install numpy>=2",
        "cd /tmp && pip install 'pandas[excel]' \"scipy\"",
        "bash -c 'pip install numpy && echo done'",
        "sudo -H pip install numpy",
        "env A=1 pip install pandas[excel] numpy==2.*",
        "pip install numpy # the newest",
        "# first\npip install numpy\n\npip install pandas\n",
        "pip install \\\n numpy &&\n echo 'a;b'",
        "echo numpy > /dev/null; pip install numpy >/dev/null 2>&1",
        "pip install numpy&>/dev/null;true",
    ] {
        let profile = profile_of(line);
        assert!(profile.needed_modules().any(|module| module == "pip"), "{line}");
        assert!(!profile.effects.contains(&StaticEffect::Processes), "{line}");
    }
    for line in [
        "pip install numpy && ls",
        "ls && pip install numpy",
        "echo pip",
        "pip install $x",
        "pip install \"$x\"",
        "pip freeze > requirements.txt",
        "pip list | wc -l",
        "pip list | sort",
        "pip list &",
        "(pip list)",
        "pip list &&",
        "; pip list",
        "pip list 'open",
        "cat < x; pip list",
        "echo *; pip list",
        "grep -r x .; pip list",
        "grep '[[:space:]]' x; pip list",
        "head -c 3 x; pip list",
        "pipx list",
        "pip3x list",
        "python -c pip",
        "bash -c 'ls; pip list'",
    ] {
        assert!(profile_of(line).effects.contains(&StaticEffect::Processes), "{line}");
    }
}
