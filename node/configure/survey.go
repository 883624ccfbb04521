package configure

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	"corbie/node"
	"corbie/node/runner"
)

// Asker is a consumer contract for running plugins. It models node.Catalogue, which runs each as the user that
// it is set to have, and not for longer than it may take.
type Asker interface {
	RunPlugin(ctx context.Context, request node.Request) node.Answer
}

// SurveyOptions say how to ask plugins.
type SurveyOptions struct {
	// Parallel is how many plugins are asked at the same time; 0: 8.
	Parallel int
	// Disabled says whether a plugin must not be asked, by its name; nil: all are asked.
	Disabled func(plugin string) bool
	Debug    bool // MUNIN_DEBUG for the plugins
}

// Survey asks the plugins whether they are of use, and those that are for suggestions. The answers are noted in
// the plugins. The error is the end of ctx; what is wrong with a plugin is its own fault.
func Survey(ctx context.Context, library Asker, plugins []*Plugin, opts SurveyOptions) error {
	return each(ctx, plugins, opts, func(ctx context.Context, p *Plugin) {
		if !p.Autoconf {
			return
		}
		lines, ok := p.ask(ctx, library, "autoconf", opts.Debug)
		if !ok {
			return
		}
		p.TakeAutoconf(lines)
		if !p.Useful || !p.Suggest {
			return
		}
		if lines, ok = p.ask(ctx, library, "suggest", opts.Debug); ok {
			p.TakeSuggestions(lines)
		}
	})
}

// SurveySNMP asks the plugins that can say it what they need of an SNMP agent. The answers are noted in the
// plugins. The error is the end of ctx.
func SurveySNMP(ctx context.Context, library Asker, plugins []*Plugin, opts SurveyOptions) error {
	return each(ctx, plugins, opts, func(ctx context.Context, p *Plugin) {
		if !p.SNMPConf {
			return
		}
		if lines, ok := p.ask(ctx, library, "snmpconf", opts.Debug); ok {
			p.TakeSNMPConf(lines)
		}
	})
}

func each(ctx context.Context, plugins []*Plugin, opts SurveyOptions, do func(context.Context, *Plugin)) error {
	const usual = 8
	if opts.Parallel <= 0 {
		opts.Parallel = usual
	}
	var group errgroup.Group
	group.SetLimit(opts.Parallel)
	for _, p := range plugins {
		if p.Path == "" || ctx.Err() != nil {
			continue
		}
		if opts.Disabled != nil && opts.Disabled(p.Name) {
			p.Disabled = true
			continue
		}
		group.Go(func() error {
			do(ctx, p)
			return nil
		})
	}
	return errors.Join(group.Wait(), ctx.Err())
}

// ask runs the plugin with a question and returns the lines of the answer without comments. It says false when
// there is no answer to go by, and notes the fault.
func (p *Plugin) ask(ctx context.Context, library Asker, question string, debug bool) ([]string, bool) {
	answer := library.RunPlugin(ctx, node.Request{Plugin: p.Name, Args: []string{question}, Debug: debug})
	switch {
	case answer.Err == nil:
	case errors.Is(answer.Err, runner.ErrTimedOut):
		p.fault("Timed out during %s", question)
		return nil, false
	case errors.Is(answer.Err, runner.ErrExit) && answer.ExitCode > 0:
		p.fault("Non-zero exit during %s (%d)%s", question, answer.ExitCode, lastLine(answer.Stderr))
		return nil, false
	default:
		p.fault("%s: %v%s", question, answer.Err, lastLine(answer.Stderr))
		return nil, false
	}
	for _, line := range answer.Stderr {
		if line != "" && line[0] != '#' {
			p.fault("Junk printed to stderr during %s: %s", question, clip(line))
			return nil, false
		}
	}
	var lines []string
	for line := range strings.FieldsFuncSeq(string(answer.Output), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 && question != "suggest" {
		p.fault("Nothing printed to stdout during %s", question)
		return nil, false
	}
	return lines, true
}

func lastLine(stderr []string) string {
	if len(stderr) == 0 {
		return ""
	}
	return ": " + clip(stderr[len(stderr)-1])
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '\x7f' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

var noPattern = regexp.MustCompile(`^no(?:\s+\((.*)\))?\s*$`)

// TakeAutoconf notes an answer to autoconf: one line that is yes, no, or no with the reason in parentheses.
func (p *Plugin) TakeAutoconf(lines []string) {
	if len(lines) != 1 {
		p.fault("autoconf must print one line, and it printed %d, the first of them %q", len(lines), clip(strings.Join(lines[:min(1, len(lines))], "")))
		return
	}
	if lines[0] == "yes" {
		p.Answered, p.Useful = true, true
		return
	}
	found := noPattern.FindStringSubmatch(lines[0])
	if found == nil {
		p.fault("autoconf must print yes, no or no (REASON), not %q", clip(lines[0]))
		return
	}
	p.Answered, p.Reason = true, clip(found[1])
}

var suggestionPattern = regexp.MustCompile(`^[-\w.:]{1,200}$`)

// TakeSuggestions notes an answer to suggest: on each line the ending of a name.
func (p *Plugin) TakeSuggestions(lines []string) {
	for _, line := range lines {
		switch {
		case len(p.Wanted) >= maxSuggestions:
			p.fault("suggest printed more than %d lines", maxSuggestions)
			return
		case suggestionPattern.MatchString(line):
			p.Wanted = append(p.Wanted, line)
		default:
			p.fault("Bad suggestion: %q; want letters, digits and -_.:", clip(line))
		}
	}
}
