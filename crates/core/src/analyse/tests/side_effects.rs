//! The side effects of programs.

use switchtower_contract::{File, Program};

use super::profile;
use crate::analyse::analyse;
use crate::request::SideEffects;

#[test]
fn pure_computation_has_no_side_effects() {
    for source in [
        "print(sum(range(10)))",
        "import numpy as np\nimport pandas as pd\ndf = pd.DataFrame({'a': np.arange(3)})\ndf.groupby('a').sum()",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        "import os.path\nprint(os.path.join('a', 'b'))",
        "print(",
    ] {
        assert_eq!(profile(source).side_effects, SideEffects::None, "{source}");
    }
}

#[test]
fn writing_files_and_starting_threads_are_side_effects_in_the_sandbox() {
    for source in [
        "open('/tmp/x', 'w').write('1')",
        "import pandas as pd\npd.DataFrame([1]).to_csv('x.csv')",
        "import numpy as np\nnp.zeros(3).tofile('x')",
        "import threading\nthreading.Thread(target=print).start()",
    ] {
        assert_eq!(profile(source).side_effects, SideEffects::Sandbox, "{source}");
    }
    // Files of the request, at any path.
    let path = ".ipython/profile_default/startup/x.py".to_owned();
    let given = Program { files: vec![File { path, content: vec![] }], ..Program::python("print(1)") };
    assert_eq!(analyse(&given).side_effects, SideEffects::Sandbox);
}

#[test]
fn external_effects_and_dynamic_code_count_as_effects_on_the_world() {
    for source in [
        "import requests\nrequests.get('https://example.org')",
        "!ls",
        "%%bash\nls",
        "import subprocess\nsubprocess.run(['ls'])",
        "import os\ngetattr(os, 'sys' + 'tem')('ls')",
        "import numpy as np\nnp.os.system('ls')",
        "import os\n[os][0].listdir('/')",
        "import os\nrun = os\nprint([run])",
        "f = open\nf('/etc/passwd')",
        "exec('import os')",
        "().__class__.__base__.__subclasses__()",
        "from os import *\nsystem('ls')",
        "import some_package_that_nobody_knows as x\nx.go()",
        "__import__('o' + 's').system('ls')",
        "import sys\nsys.modules['os'].system('ls')",
    ] {
        assert_eq!(profile(source).side_effects, SideEffects::World, "{source}");
    }
}
