package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
	"corbie/node"
)

// maxPluginFile is how much of a plugin's own text is looked at.
const maxPluginFile = 1 << 20

// workpiece is one plugin that somebody tries by hand: by its name in the plugin folder, or by the path of a
// file that need not be installed.
type workpiece struct {
	cfg       *node.Config
	catalogue *node.Catalogue
	native    node.Native
	name      string
	path      string // of the file; empty for a native plugin
}

// outcome is one run of a plugin.
type outcome struct {
	node.Answer
	began time.Time
	took  time.Duration
}

// openPlugin finds the plugin that an argument names.
func (p *program) openPlugin(ctx context.Context, cfg *node.Config, arg string) (*workpiece, error) {
	w := &workpiece{cfg: cfg, native: nativePlugins(), name: arg}
	if strings.Contains(arg, "/") {
		if err := w.take(arg); err != nil {
			return nil, err
		}
	}
	var err error
	w.catalogue, err = node.NewCatalogue(ctx, w.cfg, node.Options{
		Native: w.native, Version: version(), Environ: p.environ, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	for _, plugin := range w.catalogue.Plugins() {
		if plugin.Name == w.name {
			w.path = plugin.Path
			return w, nil
		}
	}
	if w.path != "" {
		return nil, fmt.Errorf("%s would not be offered: see ignore_file and paranoia in the configuration", w.path)
	}
	if cfg.Native.None {
		return nil, w.unknown()
	}
	return w, nil // A native plugin that is of no use on this machine can say why.
}

// take makes the folder of a file the plugin folder, for this once.
func (w *workpiece) take(arg string) error {
	path, err := filepath.Abs(arg)
	if err != nil {
		return fmt.Errorf("find the plugin: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("find the plugin: %w", err)
	}
	w.name = filepath.Base(path)
	if err := munin.ValidatePluginName(w.name); err != nil {
		return err
	}
	const executable = 0o111
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case strings.HasSuffix(w.name, ".conf"):
		return fmt.Errorf("%s would not be offered: a plugin's name cannot end with .conf", path)
	case info.Mode()&executable == 0:
		return fmt.Errorf("%s is not executable; run chmod +x %s", path, arg)
	}
	cfg := *w.cfg
	cfg.ServiceDir = filepath.Dir(path)
	w.cfg, w.path = &cfg, path
	return nil
}

func (w *workpiece) unknown() error {
	return fmt.Errorf("there is no plugin %s in %s, and no native one; \"corbie-node list\" shows what there is", w.name, w.cfg.ServiceDir)
}

// run runs the plugin once.
func (w *workpiece) run(ctx context.Context, request node.Request) outcome {
	request.Plugin = w.name
	began := time.Now()
	answer := w.catalogue.RunPlugin(ctx, request)
	if errors.Is(answer.Err, munin.ErrNotFound) && !w.cfg.Native.None {
		began = time.Now()
		answer = unoffered(ctx, w.native, request)
	}
	return outcome{Answer: answer, began: began, took: time.Since(began)}
}

// config asks the plugin for its config, as a master does that takes values with it or not.
func (w *workpiece) config(ctx context.Context, dirty bool) outcome {
	return w.run(ctx, node.Request{Args: []string{"config"}, Caps: wire.Caps{Multigraph: true, DirtyConfig: dirty}})
}

// text is the beginning of the plugin's file; nothing for a native plugin.
func (w *workpiece) text() []byte {
	if w.path == "" {
		return nil
	}
	text, err := os.ReadFile(w.path)
	if err != nil { // One may be allowed to run what one cannot read.
		return nil
	}
	return text[:min(len(text), maxPluginFile)]
}

// source says where the plugin comes from.
func (w *workpiece) source() string {
	if w.path == "" {
		return "native"
	}
	return w.path
}
