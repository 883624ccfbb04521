package node

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"corbie/munin"
	"corbie/node/runner"
)

// Settings are what plugin-conf.d says of one plugin. What is not said is empty.
type Settings struct {
	User     string
	Groups   []runner.Group
	Command  []string // words; %c stands for the plugin and its arguments
	HostName string
	Timeout  time.Duration
	Rate     time.Duration // between two samples in the background; 0: as the plugin says
	Env      map[string]string
	// DisableAutoconf keeps "corbie-node configure" from asking the plugin whether it is of use; nil when not said.
	DisableAutoconf *bool
}

// PluginConf is the whole of plugin-conf.d: settings by the name of a section, which is a plugin's name or
// its beginning or end with a star.
type PluginConf struct {
	sections map[string]Settings
}

// LoadPluginConf reads the files of a folder in the order of their names. A file with a mistake counts up to
// the line that has it. The second result names the mistakes; a folder that does not exist is none.
func LoadPluginConf(dir string, cfg *Config) (*PluginConf, []error) {
	c := &PluginConf{sections: make(map[string]Settings)}
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, []error{fmt.Errorf("read plugin settings: %w", err)}
	}
	var faults []error
	for _, file := range files { // ReadDir sorts by name.
		path := filepath.Join(dir, file.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || !isConfFile(file.Name(), cfg.Ignore) {
			continue
		}
		if cfg.Paranoia {
			if err := checkOwner(path); err != nil {
				faults = append(faults, err)
				continue
			}
		}
		text, err := readLimited(path)
		if err == nil {
			err = c.Parse(path, text)
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	return c, faults
}

func isConfFile(name string, ignore []*regexp.Regexp) bool {
	return munin.ValidatePluginName(name) == nil && !strings.Contains(name, "@") && !matches(ignore, name)
}

// Parse adds the text of one file; what it says wins over what was read before. The error names the line at
// which reading stopped; what stands before that line counts.
func (c *PluginConf) Parse(name string, text []byte) error {
	if c.sections == nil {
		c.sections = make(map[string]Settings)
	}
	section, n := "", 0
	for line := range strings.Lines(string(text)) {
		n++
		line = stripComment(line)
		if line == "" {
			continue
		}
		err := c.line(&section, line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w; the rest of the file is skipped", name, n, err)
		}
	}
	return nil
}

func (c *PluginConf) line(section *string, line string) error {
	if inner, ok := strings.CutPrefix(line, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok && inner != "" && !strings.Contains(inner, "]") {
			star := strings.IndexByte(inner, '*')
			if strings.Count(inner, "*") > 1 || star > 0 && star < len(inner)-1 {
				return fmt.Errorf("section [%s]: a name may have one star, at one end", clip(inner))
			}
			*section = inner
			return nil
		}
	}
	if *section == "" {
		return fmt.Errorf("%q stands before the first [section]", clip(line))
	}
	s := c.sections[*section]
	if err := s.set(line); err != nil {
		return err
	}
	c.sections[*section] = s
	return nil
}

// set takes one line of a section.
func (s *Settings) set(line string) error {
	key, value, ok := cutBlank(line)
	if key == "env" && strings.Contains(value, "=") {
		return fmt.Errorf("%q: write env.NAME VALUE instead of env NAME=VALUE", clip(line))
	}
	if !ok || !isWord(strings.ReplaceAll(key, ".", "_")) {
		return fmt.Errorf("want a directive and a value, not %q", clip(line))
	}
	switch key {
	case "user":
		s.User = value
	case "group":
		s.Groups = parseGroups(value)
	case "command":
		s.Command = strings.Fields(value)
	case "host_name":
		s.HostName = value
	case "timeout":
		if err := setSeconds(&s.Timeout, value); err != nil {
			return fmt.Errorf("timeout %w", err)
		}
	case "disable_autoconf":
		s.DisableAutoconf = new(bool)
		if err := setBool(s.DisableAutoconf, value); err != nil {
			return fmt.Errorf("disable_autoconf %w", err)
		}
	case "update_rate":
		s.setRate(value)
	default:
		return s.setEnv(key, value)
	}
	return nil
}

// setRate reads how often a plugin is to be sampled. Munin's node takes anything and uses nothing of it, so that
// what is no rate leaves it to the plugin.
func (s *Settings) setRate(value string) {
	const week = 7 * 24 * time.Hour
	word, _, _ := cutBlank(value)
	if setRange(&s.Rate, word, time.Second, week) != nil {
		s.Rate = 0
	}
}

func (s *Settings) setEnv(key, value string) error {
	name, isEnv := strings.CutPrefix(key, "env.")
	if !isEnv || name == "" {
		return fmt.Errorf("unknown directive %q; is it env.%s?", clip(key), clip(key))
	}
	if s.Env == nil {
		s.Env = make(map[string]string)
	}
	s.Env[name] = value
	return nil
}

// parseGroups reads names split by commas or blanks; one in parentheses may be missing.
func parseGroups(value string) []runner.Group {
	var groups []runner.Group
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		name := strings.TrimSuffix(strings.TrimPrefix(word, "("), ")")
		if name != "" {
			groups = append(groups, runner.Group{Name: name, Optional: name != word})
		}
	}
	return groups
}

// For is what holds for one plugin: the section with its name, and for what that leaves open the sections with
// a star that fit, the more telling ones first.
func (c *PluginConf) For(plugin string) Settings {
	s := c.sections[plugin]
	s.Env = maps.Clone(s.Env)
	names := slices.Sorted(maps.Keys(c.sections))
	for _, name := range slices.Backward(names) {
		if fits(name, plugin) {
			s.fill(c.sections[name])
		}
	}
	return s
}

// fits says whether a section with a star is about a plugin.
func fits(section, plugin string) bool {
	if prefix, ok := strings.CutSuffix(section, "*"); ok {
		return strings.HasPrefix(plugin, prefix)
	}
	if suffix, ok := strings.CutPrefix(section, "*"); ok {
		return strings.HasSuffix(plugin, suffix)
	}
	return false
}

// fill takes from another section what was not said yet.
func (s *Settings) fill(other Settings) {
	setDefault(&s.User, other.User)
	setDefault(&s.HostName, other.HostName)
	if s.Groups == nil {
		s.Groups = other.Groups
	}
	if s.Command == nil {
		s.Command = other.Command
	}
	if s.Timeout == 0 {
		s.Timeout = other.Timeout
	}
	if s.Rate == 0 {
		s.Rate = other.Rate
	}
	if s.DisableAutoconf == nil {
		s.DisableAutoconf = other.DisableAutoconf
	}
	for key, value := range other.Env {
		if _, said := s.Env[key]; said {
			continue
		}
		if s.Env == nil {
			s.Env = make(map[string]string)
		}
		s.Env[key] = value
	}
}
