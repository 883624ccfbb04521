package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
	"corbie/node/runner"
)

// complaintAgain is how often the same complaint of a plugin is logged.
const complaintAgain = time.Hour

// errStuck is the answer for a native plugin of which an earlier run has not come back.
var errStuck = errors.New("an earlier run of it has not ended yet")

// Request asks for one run of a plugin.
type Request struct {
	Plugin string
	Args   []string // none for values, or "config" and the like
	Caps   wire.Caps
	Peer   string // address of the master, empty when somebody tries the plugin by hand
	Debug  bool   // MUNIN_DEBUG
	// NoTimeout lets the plugin run as long as ctx does.
	NoTimeout bool
}

// Answer is what a plugin said.
type Answer struct {
	Output   []byte
	Stderr   []string // last lines
	ExitCode int
	// Err wraps munin.ErrNotFound when there is no such plugin, and else what runner.Result.Err does.
	Err error
}

// complaint is something that a plugin's run gave reason to log.
type complaint struct {
	text string
	at   time.Time
}

// RunPlugin runs a plugin once, with its settings, on behalf of a master or of somebody at a terminal.
func (c *Catalogue) RunPlugin(ctx context.Context, request Request) Answer {
	e, ok := c.lookup(request.Plugin)
	if !ok {
		return Answer{ExitCode: 1, Err: fmt.Errorf("plugin %s: %w", clip(request.Plugin), munin.ErrNotFound)}
	}
	answer := c.run(ctx, e, request)
	if answer.Err == nil && len(request.Args) == 1 && request.Args[0] == "config" {
		c.learn(e, answer.Output)
	}
	return answer
}

func (c *Catalogue) run(ctx context.Context, e *entry, request Request) Answer {
	c.mu.Lock()
	cfg := c.cfg
	c.mu.Unlock()
	timeout := cfg.Timeout
	if e.settings.Timeout > 0 {
		timeout = e.settings.Timeout
	}
	if request.NoTimeout {
		timeout = 0
	}
	var answer Answer
	began := time.Now()
	if e.path == "" {
		answer = c.runNative(ctx, e, request, timeout)
	} else {
		answer = c.runScript(ctx, cfg, e, request, timeout)
	}
	if ctx.Err() == nil {
		c.states.record(e.name, request.Args, began, &answer)
		c.complain(e, answer)
	}
	return answer
}

// complain logs what went wrong in a run. A plugin that says the same at each run is not repeated.
func (c *Catalogue) complain(e *entry, answer Answer) {
	lines := slices.DeleteFunc(slices.Clone(answer.Stderr), func(line string) bool { return strings.HasPrefix(line, "# ") })
	text := munin.CleanText(strings.Join(lines, " | "))
	if answer.Err != nil {
		text = answer.Err.Error() + " " + text
	}
	if text == "" {
		return
	}
	c.mu.Lock()
	again := e.told.text == text && time.Since(e.told.at) < complaintAgain
	if !again {
		e.told = complaint{text: text, at: time.Now()}
	}
	c.mu.Unlock()
	if again {
		return
	}
	if answer.Err != nil {
		c.opts.Log.Warn("plugin failed", "plugin", e.name, "err", answer.Err, "stderr", lines)
	} else {
		c.opts.Log.Info("plugin complains", "plugin", e.name, "stderr", lines)
	}
}

func (c *Catalogue) runScript(ctx context.Context, cfg *Config, e *entry, request Request, timeout time.Duration) Answer {
	identity, err := identityOf(ctx, cfg, e.settings)
	if err != nil {
		return Answer{ExitCode: 1, Err: err}
	}
	words := append([]string{e.path}, request.Args...)
	if len(e.settings.Command) > 0 {
		words = expandCommand(e.settings.Command, words)
	}
	if cfg.Paranoia {
		if err := checkOwner(e.path); err != nil {
			return Answer{ExitCode: 1, Err: err}
		}
	}
	c.mu.Lock()
	runs := c.runs
	c.mu.Unlock()
	select {
	case runs <- struct{}{}:
		defer func() { <-runs }()
	case <-ctx.Done():
		return Answer{ExitCode: -1, Err: context.Cause(ctx)}
	}
	result := runner.Run(ctx, runner.Spec{
		Path: words[0], Args: words[1:], Env: c.environment(cfg, e, request, identity),
		Identity: identity, Timeout: timeout,
		Limits: runner.Limits{Memory: cfg.PluginMemory, Processes: cfg.PluginProcesses, Group: e.name, Groups: c.opts.Groups},
	})
	return Answer{Output: result.Stdout, Stderr: result.Stderr, ExitCode: result.ExitCode, Err: result.Err}
}

// expandCommand puts a plugin and its arguments where the command says %c.
func expandCommand(command, plugin []string) []string {
	var words []string
	for _, word := range command {
		if word == "%c" {
			words = append(words, plugin...)
		} else {
			words = append(words, word)
		}
	}
	return words
}

// checkDefaults makes sure that the users that the configuration names exist.
func checkDefaults(ctx context.Context, cfg *Config) error {
	if os.Getuid() != 0 {
		return nil
	}
	_, err := identityOf(ctx, cfg, Settings{})
	if err != nil {
		return fmt.Errorf("default_plugin_user and default_plugin_group: %w", err)
	}
	return nil
}

// identityOf is whom a plugin runs as: nil unless root runs the node, as others cannot change.
func identityOf(ctx context.Context, cfg *Config, s Settings) (*runner.Identity, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else to become is an answer
	}
	user := s.User
	setDefault(&user, cfg.PluginUser)
	groups := s.Groups
	if len(groups) == 0 {
		groups = []runner.Group{{Name: cfg.PluginGroup}}
		if cfg.PluginGroup == "" {
			groups = []runner.Group{{Name: "munin", Optional: true}}
		}
	}
	return runner.Lookup(ctx, user, groups)
}

// environment is what a script finds in its environment.
func (c *Catalogue) environment(cfg *Config, e *entry, request Request, identity *runner.Identity) []string {
	userName := strconv.Itoa(os.Getuid())
	if identity != nil {
		userName = identity.Name
	}
	state := filepath.Join(cfg.StateDir, userName)
	c.makeStateFolder(state, identity)
	env := slices.Clone(c.opts.Environ)
	env = append(env,
		"MUNIN_PREFIX=/usr", "MUNIN_BINDIR=/usr/bin", "MUNIN_SBINDIR=/usr/sbin", "MUNIN_DOCDIR=/usr/share/doc",
		"MUNIN_MANDIR=/usr/share/man", "MUNIN_CGIDIR=/usr/lib/munin/cgi", "MUNIN_CGITMPDIR=",
		"MUNIN_DBDIR=/var/lib/munin", "MUNIN_HTMLDIR=/var/cache/munin/www", "MUNIN_LOGDIR=/var/log/munin",
		"MUNIN_SPOOLDIR=/var/lib/munin-async", "MUNIN_STATEDIR=/var/run/munin",
		"MUNIN_CONFDIR="+cfg.folder, "MUNIN_LIBDIR="+cfg.LibDir, "MUNIN_PLUGSTATE="+state,
		"MUNIN_STATEFILE="+filepath.Join(state, e.name+"-"+request.Peer),
		"MUNIN_USER=munin", "MUNIN_GROUP=munin", "MUNIN_PLUGINUSER="+cfg.PluginUser,
		"MUNIN_GOODSH=/bin/sh", "MUNIN_BASH=/bin/bash", "MUNIN_PERL=/usr/bin/perl", "MUNIN_PERLLIB=/usr/share/perl5",
		"MUNIN_PYTHON=/usr/bin/env python3", "MUNIN_RUBY=/usr/bin/env ruby", "MUNIN_MKTEMP=mktemp",
		"MUNIN_HASSETR=1", "MUNIN_OSTYPE=linux", "MUNIN_HOSTNAME="+cfg.Name, "MUNIN_VERSION="+c.opts.Version,
		"MUNIN_DEBUG="+flag(request.Debug), "FQDN="+cfg.Name,
		"LC_ALL=C", "LANG=C", "PYTHONIOENCODING=utf8:replace", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	)
	for key, value := range c.nativeEnvironment(e, request) {
		env = append(env, key+"="+value)
	}
	return env
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// nativeEnvironment is what a native plugin finds, and what a script finds besides its surroundings.
func (c *Catalogue) nativeEnvironment(e *entry, request Request) map[string]string {
	env := make(map[string]string, len(e.settings.Env)+3)
	env["MUNIN_MASTER_IP"] = request.Peer
	env["MUNIN_CAP_MULTIGRAPH"] = "1"
	if request.Caps.DirtyConfig {
		env["MUNIN_CAP_DIRTYCONFIG"] = "1"
	}
	for key, value := range e.settings.Env {
		env[key] = value
	}
	return env
}

// makeStateFolder makes the folder in which plugins of one user keep their state, once.
func (c *Catalogue) makeStateFolder(dir string, identity *runner.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.folders[dir] {
		return
	}
	c.folders[dir] = true
	err := os.MkdirAll(dir, 0o755)
	if err == nil && identity != nil {
		err = os.Lchown(dir, int(identity.UID), -1)
	}
	if err != nil {
		c.opts.Log.Warn("plugins cannot keep their state", "folder", dir, "err", err)
	}
}

// runNative runs a plugin that is part of the program. One that does not come back in time is left behind, and
// not run again until it has come back.
func (c *Catalogue) runNative(ctx context.Context, e *entry, request Request, timeout time.Duration) Answer {
	c.mu.Lock()
	stuck := e.stuck > 0
	c.mu.Unlock()
	if stuck {
		return Answer{ExitCode: -1, Err: fmt.Errorf("%w: %w", runner.ErrTimedOut, errStuck)}
	}
	verb := ""
	if len(request.Args) > 0 {
		verb = request.Args[0]
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w after %v", runner.ErrTimedOut, timeout))
		defer cancel()
	}
	answers := make(chan Answer, 1)
	go func() { answers <- c.callNative(ctx, e.name, verb, c.nativeEnvironment(e, request)) }()
	select {
	case answer := <-answers:
		return answer
	case <-ctx.Done():
	}
	c.addStuck(e, 1)
	go func() {
		<-answers
		c.addStuck(e, -1)
	}()
	return Answer{ExitCode: -1, Err: context.Cause(ctx)}
}

func (c *Catalogue) addStuck(e *entry, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.stuck += n
}

// callNative runs a native plugin. A panic in it is a bad exit of the plugin, not the end of the node.
func (c *Catalogue) callNative(ctx context.Context, name, verb string, env map[string]string) (answer Answer) {
	defer func() {
		if cause := recover(); cause != nil {
			answer = Answer{ExitCode: 1, Err: fmt.Errorf("%w: panic in native plugin %s: %v", runner.ErrExit, name, cause)}
		}
	}()
	output, err := c.opts.Native.Run(ctx, name, verb, env)
	if err != nil {
		return Answer{ExitCode: 1, Err: fmt.Errorf("%w: %w", runner.ErrExit, err)}
	}
	return Answer{Output: output}
}
