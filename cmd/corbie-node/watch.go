package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"corbie/munin"
	"corbie/node"
	"corbie/node/lint"
	"corbie/node/watch"
)

const (
	shortestWatch = 200 * time.Millisecond
	// lookAgain is how often it is looked whether the plugin's file was saved.
	lookAgain = 250 * time.Millisecond
)

type watchFlags struct {
	interval time.Duration
	once     bool
	graph    string
}

func (p *program) watchCommand() *cobra.Command {
	var (
		where folders
		flags watchFlags
	)
	c := &cobra.Command{
		Use:   "watch PLUGIN",
		Short: "Run a plugin again and again and draw its values in the terminal",
		Long: "watch runs a plugin again and again, and at once when its file is saved, and draws its last values with the labels,\n" +
			"units and levels of its config. PLUGIN is a name, or the path of a file. Ctrl-C ends it. Where the output is no terminal,\n" +
			"or with --once, it prints one snapshot.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if flags.interval < shortestWatch {
				return exitError{code: exitUsage, err: fmt.Errorf("--interval %v: want at least %v", flags.interval, shortestWatch)}
			}
			cfg, err := p.configure(c.Context(), &where)
			if err != nil {
				return err
			}
			w, err := p.openPlugin(c.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			return p.watch(c.Context(), w, flags)
		},
	}
	where.bind(c)
	c.Flags().DurationVar(&flags.interval, "interval", 2*time.Second, "`time` between two runs")
	c.Flags().BoolVar(&flags.once, "once", false, "print one snapshot as text")
	c.Flags().StringVar(&flags.graph, "graph", "", "`name` of the graph to draw, of a plugin that has several")
	return c
}

func (p *program) watch(ctx context.Context, w *workpiece, flags watchFlags) error {
	view := watch.New(w.name)
	run, err := w.look(ctx)
	if err != nil {
		return err
	}
	view.Add(run)
	screen := p.terminal()
	if flags.once || screen == nil {
		return p.snapshot(ctx, w, view, flags, run.Failure)
	}
	screen.style.Graph = flags.graph
	if err := screen.open(); err != nil {
		return err
	}
	defer screen.close()
	for {
		if err := screen.draw(view); err != nil {
			return err
		}
		if !w.await(ctx, flags.interval) {
			return nil
		}
		if run, err = w.look(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		view.Add(run)
	}
}

// snapshot prints the values once. Those that are rates are known after a second run.
func (p *program) snapshot(ctx context.Context, w *workpiece, view *watch.View, flags watchFlags, failure string) error {
	if view.HasRates() && failure == "" {
		timer := time.NewTimer(flags.interval)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		run, err := w.look(ctx)
		if err != nil {
			return err
		}
		view.Add(run)
		failure = run.Failure
	}
	if _, err := fmt.Fprint(p.stdout, view.Text()); err != nil {
		return fmt.Errorf("print the values: %w", err)
	}
	if failure != "" {
		return exitError{code: exitFailed}
	}
	return nil
}

// look runs the plugin for its config and its values.
func (w *workpiece) look(ctx context.Context) (watch.Run, error) {
	config := w.config(ctx, false)
	if errors.Is(config.Err, munin.ErrNotFound) && w.path == "" {
		return watch.Run{}, w.unknown()
	}
	values := w.run(ctx, node.Request{})
	run := watch.Run{At: values.began, Took: values.took, Values: munin.ParseFetch(w.name, values.Output)}
	switch {
	case config.Err != nil:
		run.Failure = "config: " + config.Err.Error()
	case values.Err != nil:
		run.Failure, run.Values = values.Err.Error(), munin.Reply{}
	}
	if config.Err == nil {
		run.Config = munin.ParseConfig(w.name, config.Output)
	}
	findings := lint.Check(lint.Subject{Name: w.name, File: w.text(), Config: lintRun(config), Values: lintRun(values)})
	slices.SortStableFunc(findings, func(a, b lint.Finding) int { return int(b.Severity - a.Severity) })
	for _, f := range findings {
		if f.Severity > lint.Hint && f.Rule != "exit-code" && f.Rule != "run-failed" {
			run.Words = append(run.Words, f.Severity.String()+": "+f.String())
		}
	}
	return run, nil
}

// await waits for the next run: until the interval is over, or the plugin's file was saved. It is false when
// ctx ended.
func (w *workpiece) await(ctx context.Context, interval time.Duration) bool {
	before := w.stamp()
	timer := time.NewTimer(interval)
	defer timer.Stop()
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-ticker.C:
			if now := w.stamp(); now != before && now != (fileStamp{}) {
				return true
			}
		}
	}
}

// fileStamp tells a version of a file from another one.
type fileStamp struct {
	modified time.Time
	size     int64
}

func (w *workpiece) stamp() fileStamp {
	if w.path == "" {
		return fileStamp{}
	}
	info, err := os.Stat(w.path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{modified: info.ModTime(), size: info.Size()}
}

// screen is a terminal that is drawn on as a whole.
type screen struct {
	file  *os.File
	style watch.Style
}

// Codes that terminals have understood since the VT100, but for the first two, which xterm brought.
const (
	otherScreen = "\x1b[?1049h"
	firstScreen = "\x1b[?1049l"
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// terminal is the standard output where that is a terminal that can be drawn on, else nil.
func (p *program) terminal() *screen {
	file, ok := p.stdout.(*os.File)
	env := environMap(p.environ)
	if !ok || env["TERM"] == "" || env["TERM"] == "dumb" {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return &screen{file: file, style: watch.Style{Colour: env["NO_COLOR"] == ""}}
}

func (s *screen) open() error {
	_, err := s.file.WriteString(otherScreen + hideCursor)
	return err
}

// close leaves the terminal as it was before.
func (s *screen) close() {
	_, _ = s.file.WriteString(showCursor + firstScreen) // There is nobody left to be told.
}

func (s *screen) draw(view *watch.View) error {
	s.style.Width, s.style.Height = 80, 24
	if size, err := unix.IoctlGetWinsize(int(s.file.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		s.style.Width, s.style.Height = int(size.Col), int(size.Row)
	}
	lines := view.Screen(s.style)
	_, err := s.file.WriteString(home + strings.Join(lines, clearLine+"\r\n") + clearLine + clearRest)
	return err
}
