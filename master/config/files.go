package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxIncluded is how many files one pattern may name.
const maxIncluded = 20_000

// folder is where files are looked up that a configuration names.
type folder struct{ dir string }

// path makes a name of the configuration absolute, or relative to where the program runs.
func (f *folder) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.dir, name)
}

// names are the files that a pattern names, sorted. A name without a wildcard must exist.
func (f *folder) names(pattern string) ([]string, error) {
	path := f.path(pattern)
	if !strings.ContainsAny(pattern, "*?[") {
		_, err := os.Stat(path)
		return []string{path}, err
	}
	list, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q: %w", short(pattern), err)
	}
	if len(list) > maxIncluded {
		return nil, fmt.Errorf("the pattern %q names more than %d files", short(pattern), maxIncluded)
	}
	return list, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFileBytes+1)) // document says when it is too long
}

// secret is the one line of a file.
func (f *folder) secret(name string) (string, error) {
	name = f.path(name)
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	switch {
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("%s is longer than %d bytes", name, maxSecretFile)
	case secret == "":
		return "", fmt.Errorf("%s is empty", name)
	case strings.ContainsAny(secret, "\r\n"):
		return "", fmt.Errorf("%s has more than one line", name)
	}
	return secret, nil
}

// programFolders are where a contact's command is looked for when it is not named with its path.
func programFolders() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

// program is the absolute path of a program.
func (f *folder) program(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if strings.Contains(name, "/") {
		return "", fmt.Errorf("%q: want the program's absolute path", short(name))
	}
	for _, dir := range programFolders() {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no program %q in %s", short(name), strings.Join(programFolders(), ":"))
}

// Fingerprint changes when a file of targets (file_sd) is changed, added or removed.
func (c *Config) Fingerprint() string {
	var b strings.Builder
	for _, pattern := range c.watched {
		b.WriteString(fingerprint(pattern))
	}
	return b.String()
}

// Seen is what Fingerprint was when the files were read, so that a change of which the configuration knows nothing shows
// as a difference.
func (c *Config) Seen() string { return c.seen }

func fingerprint(pattern string) string {
	names, err := filepath.Glob(pattern)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}
