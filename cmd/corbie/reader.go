package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage/catalog"
)

const (
	defaultConfig = "/etc/corbie/corbie.yml"
	defaultData   = "/var/lib/corbie"
	catalogFile   = "catalog.db"
	alertsFolder  = "alerts"
)

// loadConfig reads the configuration that was named, or the default one where it exists, or none.
func (p *program) loadConfig(flags config.Flags) (*config.Config, error) {
	flags.MuninConf = p.muninConf
	name := p.configPath
	if name == "" {
		if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
			if p.muninConf != "" {
				return config.LoadMunin(flags)
			}
			return config.Parse("defaults", nil, flags)
		}
		name = defaultConfig
	}
	return config.Load(name, flags)
}

// dataFolder is the flag's, the configuration's, or the default, in this order.
func (p *program) dataFolder(conf *config.Config) string {
	switch {
	case p.dataDir != "":
		return p.dataDir
	case conf != nil && conf.Data != "":
		return conf.Data
	}
	return defaultData
}

// reader looks at a data folder, beside a running master or without one.
type reader struct {
	catalog *catalog.Catalog
	samples *samples
}

func (p *program) openCatalog() (*reader, error) {
	dir := p.dataDir
	if dir == "" {
		conf, err := p.loadConfig(config.Flags{Tolerant: true})
		if err != nil {
			return nil, err
		}
		dir = p.dataFolder(conf)
	}
	p.dataDir = dir
	file := filepath.Join(dir, catalogFile)
	if err := mayRead(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("%s: no data of a master there; name its folder with --data: %w", dir, err)
	}
	cat, err := catalog.OpenReadOnly(file, catalog.Options{})
	if err != nil {
		return nil, err
	}
	return &reader{catalog: cat}, nil
}

// openReader opens the catalogue and the samples.
func (p *program) openReader() (*reader, error) {
	r, err := p.openCatalog()
	if err != nil {
		return nil, err
	}
	// With --data alone, a configuration need not be there.
	conf, err := p.loadConfig(config.Flags{Tolerant: true})
	if err != nil && p.configPath != "" {
		return nil, errors.Join(err, r.catalog.Close())
	}
	if r.samples, err = readSamples(p.dataDir, conf); err != nil {
		return nil, errors.Join(err, r.catalog.Close())
	}
	r.samples.Rename(r.catalog.Renames())
	return r, nil
}

func (r *reader) close() error {
	var err error
	if r.samples != nil {
		err = r.samples.Close()
	}
	return errors.Join(err, r.catalog.Close())
}

// host finds a host by full path or short name, with advice when it is not there.
func (r *reader) host(ctx context.Context, name string) (munin.Host, error) {
	h, err := r.catalog.Host(ctx, name)
	if errors.Is(err, munin.ErrNotFound) {
		return h, unknownHost(ctx, r.catalog, name)
	}
	return h, err
}

// unknownHost is the error for the name of a host that nobody has, with those that may have been meant.
func unknownHost(ctx context.Context, c *catalog.Catalog, name string) error {
	hosts, err := c.Hosts(ctx)
	if err != nil {
		return err
	}
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.ID.Name()
		if strings.Contains(name, ";") {
			names[i] = string(h.ID)
		}
	}
	slices.Sort(names)
	return fmt.Errorf("host %q: %w; %s'corbie hosts' lists those that are known", name, munin.ErrNotFound, didYouMean(name, slices.Compact(names)))
}

// didYouMean proposes names for one that is unknown; empty where none is like it.
func didYouMean(name string, known []string) string {
	alike := munin.Alike(name, known)
	if len(alike) == 0 {
		return ""
	}
	for i := range alike {
		alike[i] = quoted(alike[i])
	}
	return "did you mean " + strings.Join(alike, " or ") + "? "
}
