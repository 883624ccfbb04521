package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"corbie/munin"
	"corbie/munin/wire"
	"corbie/node/runner"
	"corbie/node/spool"
)

const (
	// probeAgain is how long a plugin that said nothing is left alone before it is asked again.
	probeAgain = 5 * time.Minute
	// rescanPause keeps questions for plugins that do not exist from reading the folder over and over.
	rescanPause = time.Second
)

// Options are what a Catalogue needs besides the configuration. Log is needed.
type Options struct {
	Native  Native // nil: none
	Version string // of the program
	// Environ is the environment that plugins inherit, as KEY=value.
	Environ []string
	// Spool keeps samples for masters that were away; nil: the node does not sample.
	Spool *spool.Store
	// Groups keep the limits of plugins; nil: each of their processes has the limit of memory for itself.
	Groups *runner.Groups
	// ListWait is how long a list waits for plugins that have not yet said for whom they speak; 0: 10 seconds.
	ListWait time.Duration
	Log      *slog.Logger
}

// Catalogue is the plugins of a machine. It may be used by several goroutines.
type Catalogue struct {
	opts Options
	wake chan struct{} // tells Run that there is something to find out
	// pings ask Run to close the channel.
	pings chan chan struct{}

	mu      sync.Mutex
	cfg     *Config
	conf    *PluginConf
	entries map[string]*entry
	scanned time.Time
	folders map[string]bool // state folders that were made
	states  recorder        // has a lock of its own
	runs    chan struct{}   // one for each script that runs
}

// entry is one plugin with all that is known of it. The catalogue's lock guards what changes.
type entry struct {
	name     string
	path     string // of the script; empty for a native plugin
	modified time.Time
	settings Settings

	class   class
	ready   chan struct{} // closed when class is known
	probing bool
	asked   time.Time // when the last probe ended
	told    complaint // what was logged last
	stuck   int       // runs of a native plugin that did not come back in time and are still at it
}

func (c *Catalogue) newEntry(name, path string, modified time.Time) *entry {
	return &entry{
		name: name, path: path, modified: modified, settings: c.conf.For(name),
		ready: make(chan struct{}),
	}
}

// class is what a plugin's config answer says about how to offer it.
type class struct {
	known      bool // it was asked, and answered or failed
	mute       bool // it said nothing, or not in time: it is not offered
	multigraph bool // only for masters that know multigraph
	dirty      bool // only for masters that know dirtyconfig
	node       string
}

// Plugin is one line of a listing.
type Plugin struct {
	Name string
	Path string // of the script; empty for a native plugin
	Host string // it is set to speak for another host; empty for the node itself
}

// NewCatalogue reads plugin-conf.d and the plugin folder. It runs no plugin. Mistakes in plugin-conf.d are
// logged, as one file more or less must not stop a node; the error says that the configuration itself cannot be
// used.
func NewCatalogue(ctx context.Context, cfg *Config, opts Options) (*Catalogue, error) {
	if opts.ListWait <= 0 {
		opts.ListWait = 10 * time.Second
	}
	c := &Catalogue{
		opts: opts, wake: make(chan struct{}, 1), pings: make(chan chan struct{}), folders: make(map[string]bool),
	}
	return c, c.Reload(ctx, cfg)
}

// Reload takes another configuration and reads plugin-conf.d and the plugin folder anew. After an error all is
// as before.
func (c *Catalogue) Reload(ctx context.Context, cfg *Config) error {
	if _, err := os.ReadDir(cfg.ServiceDir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the plugin folder: %w", err)
	}
	if err := checkDefaults(ctx, cfg); err != nil {
		return err
	}
	conf, faults := LoadPluginConf(cfg.SconfDir, cfg)
	for _, err := range faults {
		c.opts.Log.Warn("plugin settings are wrong", "err", err)
	}
	c.mu.Lock()
	c.cfg, c.conf, c.entries = cfg, conf, nil
	if cap(c.runs) != cfg.PluginRuns {
		c.runs = make(chan struct{}, cfg.PluginRuns) // What runs now is counted by the old one.
	}
	c.mu.Unlock()
	c.rescan()
	c.poke()
	return nil
}

func (c *Catalogue) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// rescan brings the entries up to date with the folder and the native plugins. It does not hold the lock while
// it looks, so that a folder that does not answer holds up nobody else.
func (c *Catalogue) rescan() {
	c.mu.Lock()
	cfg := c.cfg
	c.mu.Unlock()
	scripts := scriptsIn(cfg)
	var native []string
	if c.opts.Native != nil && !cfg.Native.None {
		native = c.opts.Native.Names()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg != cfg {
		return // There is a newer configuration, and a newer look with it.
	}
	fresh := make(map[string]*entry, len(scripts)+len(native))
	for name, info := range scripts {
		path := filepath.Join(cfg.ServiceDir, name)
		old := c.entries[name]
		if old == nil || old.path != path || !old.modified.Equal(info.ModTime()) {
			old = c.newEntry(name, path, info.ModTime())
		}
		fresh[name] = old
	}
	for _, name := range native {
		if fresh[name] != nil || !cfg.Native.Has(name) {
			continue
		}
		old := c.entries[name]
		if old == nil || old.path != "" {
			old = c.newEntry(name, "", time.Time{})
		}
		fresh[name] = old
	}
	c.entries, c.scanned = fresh, time.Now()
}

// scriptsIn lists the files in the plugin folder that are plugins, links followed.
func scriptsIn(cfg *Config) map[string]fs.FileInfo {
	files, err := os.ReadDir(cfg.ServiceDir)
	if err != nil {
		return nil
	}
	found := make(map[string]fs.FileInfo)
	for _, file := range files {
		name := file.Name()
		if munin.ValidatePluginName(name) != nil || strings.HasSuffix(name, ".conf") || matches(cfg.Ignore, name) {
			continue
		}
		path := filepath.Join(cfg.ServiceDir, name)
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || unix.Access(path, unix.X_OK) != nil {
			continue
		}
		if cfg.Paranoia && checkOwner(path) != nil {
			continue
		}
		found[name] = info
	}
	return found
}

// checkOwner says why a file cannot be trusted: somebody besides root may change it or its folder.
func checkOwner(path string) error {
	for _, p := range []string{path, filepath.Dir(path)} {
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil {
			return fmt.Errorf("check %s: %w", p, err)
		}
		const groupWrite, otherWrite = 0o020, 0o002
		if st.Uid != 0 || st.Mode&groupWrite != 0 && st.Gid != 0 || st.Mode&otherWrite != 0 {
			return fmt.Errorf("%s is skipped: paranoia is on, and somebody besides root may change %s", path, p)
		}
	}
	return nil
}

// lookup finds a plugin; one that was added a moment ago is found too.
func (c *Catalogue) lookup(name string) (*entry, bool) {
	if munin.ValidatePluginName(name) != nil {
		return nil, false
	}
	c.mu.Lock()
	e, ok := c.entries[name]
	look := !ok && time.Since(c.scanned) >= rescanPause
	c.mu.Unlock()
	if !look {
		return e, ok
	}
	c.rescan()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok = c.entries[name]
	return e, ok
}

// Plugins lists all that would be offered, sorted by name, without asking any of them.
func (c *Catalogue) Plugins() []Plugin {
	c.rescan()
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Plugin, 0, len(c.entries))
	for _, e := range c.entries {
		list = append(list, Plugin{Name: e.name, Path: e.path, Host: e.settings.HostName})
	}
	slices.SortFunc(list, func(a, b Plugin) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// offered waits for what is not known yet, but not for long, and lists the names of plugins by the node that
// they speak for, in lower case. The node itself is the empty name.
func (c *Catalogue) offered(ctx context.Context, caps wire.Caps) map[string][]string {
	c.rescan()
	c.awaitClasses(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	byNode := make(map[string][]string)
	for _, e := range c.entries {
		if !e.class.known || e.class.mute || e.class.multigraph && !caps.Multigraph || e.class.dirty && !caps.DirtyConfig {
			continue
		}
		owner := e.owner(c.cfg.Name)
		byNode[owner] = append(byNode[owner], e.name)
	}
	for _, names := range byNode {
		slices.Sort(names)
	}
	return byNode
}

// owner is the node that a plugin speaks for, in lower case, empty for the node itself.
func (e *entry) owner(self string) string {
	owner := e.settings.HostName
	if owner == "" {
		owner = e.class.node
	}
	if strings.EqualFold(owner, self) {
		return ""
	}
	return strings.ToLower(owner)
}
