package lint

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

const (
	slowRun     = 2 * time.Second
	verySlowRun = 10 * time.Second
)

// checkRun reports how a run ended. It says whether what was printed is worth reading.
func (c *checker) checkRun(where Where, run *Run) bool {
	c.where = where
	switch {
	case run.Err != nil && run.ExitCode > 0:
		c.add(Error, "exit-code", at{}, "end with exit 0: of a run with another code nothing that was printed is used",
			"the plugin ended with exit code %d", run.ExitCode)
	case run.Err != nil:
		c.add(Error, "run-failed", at{}, "run it with \"corbie-node run --explain\" to see what it printed until then", "%v", run.Err)
	}
	var talk []string
	for _, line := range run.Stderr {
		if line = munin.CleanText(line); line != "" && !strings.HasPrefix(line, "# ") {
			talk = append(talk, line)
		}
	}
	if len(talk) > 0 {
		c.add(Warning, "stderr", at{}, "mend the cause; what is meant as a remark begins with \"# \"",
			"it wrote to standard error: %s", excerpt(talk[len(talk)-1]))
	}
	const mend = "keep the plugin quick: let cron collect what is slow into a file and read that"
	switch took := run.Took.Round(10 * time.Millisecond); {
	case run.Took >= verySlowRun:
		c.add(Warning, "slow", at{}, mend, "it took %v, which holds up all other plugins of the session", took)
	case run.Took >= slowRun:
		c.add(Hint, "slow", at{}, mend, "it took %v", took)
	}
	if run.Err != nil {
		return false
	}
	if len(bytes.TrimSpace(run.Output)) == 0 {
		what := "print the graph and its fields when the first argument is \"config\""
		if where == Values {
			what = "print a line \"field.value number\" for each field, with U for a value that is unknown"
		}
		c.add(Error, "empty", at{}, what, "it printed nothing")
		return false
	}
	return true
}

// checkName says what is wrong with the name of a plugin.
func (c *checker) checkName(name string) {
	c.where = File
	if munin.ValidatePluginName(name) != nil || strings.HasSuffix(name, ".conf") {
		c.add(Error, "plugin-name", at{}, "use letters, digits and -_.:@ only, no dot in front and no .conf at the end",
			"a file with the name %q is never offered as a plugin", excerpt(name))
	}
}

// marker finds what a plugin says of itself to munin-node-configure.
var marker = regexp.MustCompile(`#%#[ \t]+(family|capabilities)[ \t]*=[ \t]*(.*)`)

// Capabilities are the words after "#%# capabilities=" in a plugin's text.
func Capabilities(file []byte) []string {
	for _, found := range marker.FindAllSubmatch(file, -1) {
		if string(found[1]) == "capabilities" {
			return strings.FieldsFunc(string(found[2]), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\r' })
		}
	}
	return nil
}

// checkFile looks at the lines of a script that somebody else than its interpreter reads.
func (c *checker) checkFile(file []byte) {
	if len(file) == 0 || bytes.HasPrefix(file, []byte("\x7fELF")) {
		return
	}
	c.where = File
	first, _, _ := bytes.Cut(file, []byte("\n"))
	switch {
	case !bytes.HasPrefix(first, []byte("#!")):
		c.add(Error, "no-interpreter", at{line: 1}, "begin the file with a line like #!/bin/sh", "the first line does not say which program runs it")
	case bytes.HasSuffix(first, []byte("\r")):
		c.add(Error, "crlf", at{line: 1}, "save the file with Unix line ends, as with sed -i 's/\\r$//' FILE",
			"the first line ends with a carriage return, which is taken for a part of the interpreter's name")
	}
	said := make(map[string]string)
	for _, found := range marker.FindAllSubmatch(file, -1) {
		said[string(found[1])] = strings.TrimSpace(string(found[2])) + " "
	}
	if said["family"] == "" {
		c.add(Hint, "no-family", at{}, "add a line \"#%# family=manual\", or auto for one with autoconf",
			"no line says to which family the plugin belongs, so that it counts as contrib")
	}
	if said["capabilities"] == "" && said["family"] != "manual " {
		c.add(Hint, "no-autoconf", at{}, "print yes or \"no (reason)\" when called with autoconf, and add a line \"#%# capabilities=autoconf\"",
			"no line says that the plugin knows autoconf, so that it is never set up by itself")
	}
}

// checkAutoconf looks at the answer of a plugin that says it knows the question.
func (c *checker) checkAutoconf(run *Run) {
	c.where = Autoconf
	answer := strings.TrimSpace(string(run.Output))
	switch {
	case run.Err != nil && run.ExitCode > 0:
		c.add(Warning, "autoconf", at{}, "end with exit 0 also when the answer is no", "it ended with exit code %d", run.ExitCode)
		return
	case run.Err != nil:
		c.add(Warning, "autoconf", at{}, "answer yes or no at once", "%v", run.Err)
		return
	case answer == "yes", answer == "no", strings.HasPrefix(answer, "no (") && strings.HasSuffix(answer, ")") && !strings.Contains(answer, "\n"):
		return
	}
	c.add(Warning, "autoconf", at{}, "print exactly one line: yes, no, or \"no (reason)\"", "the answer is %s", strconv.Quote(excerpt(answer)))
}
