# The template that Switchtower's remote tier expects. Build it in your account with E2B's own tool:
#   switchtower template tag --write sandboxes/e2b/template
#   e2b template build --path sandboxes/e2b/template
FROM e2bdev/code-interpreter:latest

COPY packages.txt /tmp/packages.txt
RUN grep -v '^#' /tmp/packages.txt | awk '{print $2}' > /tmp/requirements.txt \
    && pip install --no-cache-dir --requirement /tmp/requirements.txt

# A package that does not import must stop the build here, not a program later.
RUN grep -v '^#' /tmp/packages.txt | awk 'NF {print "import " $1}' | python -c "import sys; exec(sys.stdin.read())" \
    && python -c "import numpy_financial; print('numpy_financial', numpy_financial.__version__)" \
    && rm /tmp/packages.txt /tmp/requirements.txt

# Environment variables of a template are gone at run time, so the tag is a file. Last, so that it is right only when
# everything above is.
COPY build-tag /etc/build-tag
