package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"corbie/node/scaffold"
)

func (p *program) newCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Write a new plugin that works, and a test of it",
		Long: "new writes a plugin in shell that works and says in comments why each line is there, and NAME.test, which tests it.\n" +
			"Files that exist stay as they are.",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return p.newPlugin(args[0], dir) },
	}
	c.Flags().StringVar(&dir, "dir", ".", "`folder` to write to")
	return c
}

func (p *program) newPlugin(name, dir string) error {
	files, err := scaffold.Files(name)
	if err != nil {
		return exitError{code: exitUsage, err: err}
	}
	if slices.Contains(nativePlugins().Names(), name) {
		return fmt.Errorf("%s is a plugin that the node has already, and a file of that name would replace it; choose another name", name)
	}
	for _, file := range files {
		if _, err := os.Lstat(filepath.Join(dir, file.Name)); err == nil {
			return fmt.Errorf("%s exists; choose another name or another --dir", filepath.Join(dir, file.Name))
		}
	}
	for _, file := range files {
		if err := writeNew(filepath.Join(dir, file.Name), file); err != nil {
			return fmt.Errorf("write the plugin: %w", err)
		}
	}
	path := filepath.Join(dir, name)
	if !filepath.IsAbs(path) && filepath.Dir(path) == "." {
		path = "./" + path
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n%s.test\n", path, path)
	fmt.Fprintf(p.stderr, "Test it with \"sh %s.test\", see it with \"corbie-node watch %s\", and put it into the plugin folder.\n", path, path)
	return err
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, file scaffold.File) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, file.Mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(file.Text)
	return errors.Join(err, f.Close())
}
