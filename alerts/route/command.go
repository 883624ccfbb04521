package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/alertmanager/template"

	"corbie/munin"
)

// commandPath is where a command finds the programs that it runs, unless its environment says otherwise.
const commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxOutput is how much of a command's output is kept for the log.
const maxOutput = 4 << 10

// commandSender runs a program. There is no shell: what a plugin calls a field is never part of a command line.
type commandSender struct {
	command *Command
	tmpl    *template.Template
	contact *contact // nil: it is none of Munin's
}

func newCommand(c *Command, external string) (*commandSender, error) {
	tmpl, err := newTemplate(external)
	if err != nil {
		return nil, err
	}
	out := &commandSender{command: c, tmpl: tmpl}
	if c.Template {
		if out.contact, err = newContact(c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// input is what the program is called with and what it reads.
func (c *commandSender) input(ctx context.Context, m *message) (argv []string, text []byte, err error) {
	if c.contact != nil {
		scope := m.scope()
		return c.contact.argv(scope), []byte(c.contact.text.Expand(scope) + "\n"), nil
	}
	text, err = webhookJSON(ctx, c.tmpl, m.group, m.plan.alerts)
	return c.command.Argv, text, err
}

func (c *commandSender) send(ctx context.Context, m *message) (reply string, retry bool, err error) {
	argv, body, err := c.input(ctx, m)
	if err != nil {
		return "", false, err
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.command.Timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the administrator's command, without a shell
	cmd.Dir = "/"
	cmd.Env = c.environment(m)
	cmd.Stdin = bytes.NewReader(body)
	out := &head{}
	cmd.Stdout, cmd.Stderr = out, out
	// Its children end with it: they would keep its output open, and pile up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if cmd.Process != nil {
		_ = kill() // whatever it left behind
	}
	switch {
	case err == nil:
		return "exit status 0: " + out.String(), false, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it did not end within %s", orDefault(c.command.Timeout))
	case errors.Is(err, exec.ErrWaitDelay):
		return "exit status 0: " + out.String(), false, nil
	}
	return out.String(), true, fmt.Errorf("command %s: %w", c.command.Argv[0], err)
}

// environment has what a short script needs, without parsing JSON.
func (c *commandSender) environment(m *message) []string {
	env := []string{"PATH=" + commandPath}
	set := func(name, value string) {
		env = append(env, name+"="+strings.ReplaceAll(value, "\x00", ""))
	}
	names := make([]string, 0, len(c.command.Env))
	for name := range c.command.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		set(name, string(c.command.Env[name]))
	}
	status := "resolved"
	if len(m.plan.firing) > 0 {
		status = "firing"
	}
	lead := m.lead()
	s := lead.notice.State
	set("CORBIE_STATUS", status)
	set("CORBIE_LEVEL", lead.level.String())
	set("CORBIE_SUBJECT", m.subject())
	set("CORBIE_RECEIVER", m.receiver)
	set("CORBIE_GROUP", s.ID.Host.Group())
	set("CORBIE_HOST", s.ID.Host.Name())
	set("CORBIE_GRAPH", s.ID.Graph)
	set("CORBIE_FIELD", s.ID.Field)
	set("CORBIE_TITLE", lead.notice.Graph.Title)
	set("CORBIE_LABEL", lead.notice.Graph.Label)
	set("CORBIE_REASON", s.Reason)
	if s.ID.Graph != "" {
		set("CORBIE_VALUE", munin.FormatValue(s.Value, 0))
	}
	set("CORBIE_URL", link(m.base, s.ID))
	return env
}

// head keeps the beginning of what is written to it.
type head struct{ buf bytes.Buffer }

var _ io.Writer = (*head)(nil)

func (h *head) Write(p []byte) (int, error) {
	h.buf.Write(p[:min(len(p), maxOutput-h.buf.Len())])
	return len(p), nil
}

func (h *head) String() string { return munin.CleanText(strings.ReplaceAll(h.buf.String(), "\n", " ")) }
