// Package scaffold has the text of a new plugin: a shell script that works, with comments that say why each
// line is there, and a test of it.
package scaffold

import (
	_ "embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed plugin.sh.txt
var plugin string

//go:embed test.sh.txt
var test string

// File is one file to write.
type File struct {
	Name string
	Mode fs.FileMode
	Text string
}

// maxName is longer than any name that still fits on a page.
const maxName = 60

// Files are the plugin of that name and its test. The error says what is wrong with the name.
func Files(name string) ([]File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("@NAME@", name)
	return []File{
		{Name: name, Mode: 0o755, Text: fill.Replace(plugin)},
		// A node would take an executable file for a plugin.
		{Name: name + ".test", Mode: 0o644, Text: fill.Replace(test)},
	}, nil
}

// checkName wants a name that is the same as a file, on the wire, and as the name of a graph.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a plugin's name has 1 to %d characters", maxName)
	}
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9' || i == 0) {
			return fmt.Errorf("plugin name %q: use letters, digits and _ only, with no digit in front, as in mail_queue", name)
		}
	}
	if strings.HasSuffix(name, "_") {
		return fmt.Errorf("plugin name %q: a name that ends with _ is for plugins that are linked under longer names, as if_ is as if_eth0", name)
	}
	return nil
}
