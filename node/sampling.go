package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"corbie/munin/wire"
	"corbie/node/spool"
)

// Sampling is the part of a configuration that is about sampling in the background.
type Sampling struct {
	// Spool says whether the node samples its plugins by itself and keeps what masters have not fetched.
	Spool     bool
	SpoolDir  string        // empty when the file names none; whoever starts the node fills it in
	SpoolKeep time.Duration // how long samples are kept at most
	SpoolSize int64         // bytes of samples on disk at most
	// SampleInterval is between two samples of a plugin that asks for no update_rate.
	SampleInterval time.Duration
	SampleParallel int // plugins that are sampled at a time
}

func newSampling() Sampling {
	const keep, size, interval, parallel = 7 * 24 * time.Hour, 256 << 20, 5 * time.Minute, 4
	return Sampling{SpoolKeep: keep, SpoolSize: size, SampleInterval: interval, SampleParallel: parallel}
}

// set takes one key if it is about sampling.
func (s *Sampling) set(key, value string) (known bool, err error) {
	const day, mega, longest, mostRuns = 24 * time.Hour, 1 << 20, 3650, 32
	switch key {
	case "spool":
		return true, setBool(&s.Spool, value)
	case "spooldir":
		s.SpoolDir = value
		return true, nil
	case "spool_keep":
		return true, setRange(&s.SpoolKeep, value, time.Minute, longest*day)
	case "spool_size":
		size, err := parseSize(value)
		if err == nil && size < mega {
			err = fmt.Errorf("%q: want 1M or more", clip(value))
		}
		if err == nil {
			s.SpoolSize = size
		}
		return true, err
	case "sample_interval":
		return true, setRange(&s.SampleInterval, value, time.Second, 7*day)
	case "sample_parallel":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > mostRuns {
			return true, fmt.Errorf("%q: want a number of plugins from 1 to %d", clip(value), mostRuns)
		}
		s.SampleParallel = n
		return true, nil
	}
	return false, nil
}

// setRange reads a number of seconds, or of another unit: 10, 10s, 5m, 12h, 7d, 2w. It counts whole seconds.
func setRange(d *time.Duration, value string, least, most time.Duration) error {
	text, unit := strings.ToLower(value), time.Second
	if n := len(text); n > 1 {
		units := map[byte]time.Duration{
			's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
		}
		if known, ok := units[text[n-1]]; ok {
			text, unit = text[:n-1], known
		}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > uint64(most/unit) || time.Duration(n)*unit < least {
		return fmt.Errorf("%q: want a time from %v to %d days, as in 30s, 5m, 12h or 7d", clip(value), least, most/(24*time.Hour))
	}
	*d = time.Duration(n) * unit
	return nil
}

// parseSize reads a number of bytes, or of another unit: 500K, 256M, 1G.
func parseSize(value string) (int64, error) {
	text, shift := strings.TrimSuffix(strings.ToUpper(value), "B"), 0
	if n := len(text); n > 1 {
		if known := strings.IndexByte("KMGT", text[n-1]); known >= 0 {
			text, shift = strings.TrimSpace(text[:n-1]), 10*(known+1)
		}
	}
	const largest = 1 << 50
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > largest>>shift {
		return 0, fmt.Errorf("%q: want a number of bytes, as in 256M or 1G", clip(value))
	}
	return n << shift, nil
}

// OpenSpool opens the spool that a configuration asks for. It is nil when it asks for none, or when the folder
// cannot be used: the node serves its plugins all the same, and the log says why.
func OpenSpool(cfg *Config, log *slog.Logger) *spool.Store {
	if !cfg.Spool {
		return nil
	}
	store, err := spool.Open(cfg.SpoolDir, spool.Options{Keep: cfg.SpoolKeep, Size: cfg.SpoolSize, Log: log})
	if err != nil {
		log.Warn("no samples are kept; give spooldir a folder that the node can write to", "folder", cfg.SpoolDir, "err", err)
		return nil
	}
	return store
}

// newSampler makes what fills the spool.
func newSampler(cfg *Config, catalogue *Catalogue, opts Options) *spool.Sampler {
	if opts.Spool == nil {
		return nil
	}
	return spool.NewSampler(sampled{catalogue}, opts.Spool, spool.SamplerOptions{
		Interval: cfg.SampleInterval, Parallel: cfg.SampleParallel, Host: cfg.Name, Log: opts.Log,
	})
}

// resample brings the keys of sampling of another configuration into effect, and says which take a new start. The lock is held.
func (s *Server) resample(cfg *Config) {
	if cfg.Spool != s.cfg.Spool || cfg.Spool && cfg.SpoolDir != s.cfg.SpoolDir {
		s.log.Warn("spool and spooldir take effect when the node is started again")
	}
	if s.sampler != nil {
		s.store.SetLimits(cfg.SpoolKeep, cfg.SpoolSize)
		s.sampler.Change(cfg.SampleInterval, cfg.SampleParallel)
	}
}

// SpoolStatus says how sampling and the spool are doing; false when the node does neither.
func (s *Server) SpoolStatus() (spool.Status, spool.SamplerStatus, bool) {
	if s.sampler == nil {
		return spool.Status{}, spool.SamplerStatus{}, false
	}
	return s.store.Status(), s.sampler.Status(), true
}

// sampled is a catalogue as the sampler sees it.
type sampled struct{ catalogue *Catalogue }

// Plugins implements spool.Source.
func (s sampled) Plugins(context.Context) []spool.Plugin {
	c := s.catalogue
	c.rescan()
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]spool.Plugin, 0, len(c.entries))
	for _, e := range c.entries {
		list = append(list, spool.Plugin{Name: e.name, Rate: e.settings.Rate, Modified: e.modified})
	}
	return list
}

// Ask implements spool.Source. Plugins that keep a state for each master keep one for the sampler.
func (s sampled) Ask(ctx context.Context, plugin string, config bool) (spool.Said, error) {
	request := Request{Plugin: plugin, Caps: wire.Caps{Multigraph: true}, Peer: "spool"}
	if config {
		request.Args = []string{"config"}
	}
	answer := s.catalogue.RunPlugin(ctx, request)
	return spool.Said{Text: answer.Output, Node: s.catalogue.ownerOf(plugin)}, answer.Err
}

// ownerOf is the node that a plugin speaks for as far as is known, in lower case, empty for the node itself.
func (c *Catalogue) ownerOf(plugin string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[plugin]; ok {
		return e.owner(c.cfg.Name)
	}
	return ""
}

// spooled is the spool as one session sees it.
type spooled struct{ server *Server }

// spool is the spool for a session; nil when the node has none.
func (s *Server) spool() wire.Spool {
	if s.store == nil {
		return nil
	}
	return spooled{s}
}

// Offers implements wire.Spool. Munin's master cannot say which of several nodes it wants a spool of, and would
// take the samples of one for those of another.
func (s spooled) Offers(ctx context.Context, caps wire.Caps) bool {
	if caps.Spool {
		return true
	}
	for name := range s.server.catalogue.offered(ctx, wire.Caps{Multigraph: true, DirtyConfig: true}) {
		if name != "" {
			return false
		}
	}
	return true
}

// Fetch implements wire.Spool.
func (s spooled) Fetch(ctx context.Context, w io.Writer, node string, since int64) error {
	if node == s.server.self() {
		node = ""
	}
	_, err := s.server.store.Fetch(ctx, w, node, since)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("spoolfetch: %w", err)
	}
	return err
}
