package catalog

import (
	"errors"
	"io/fs"
	"testing/fstest"
)

// OpenWithStep opens a catalogue with one more migration, as a later version of the program would.
func OpenWithStep(path, name, text string) (*Catalog, error) {
	steps := fstest.MapFS{"migrations/" + name: {Data: []byte(text)}}
	known, err := fs.Glob(migrations, "migrations/*")
	if err != nil {
		return nil, err
	}
	for _, file := range known {
		body, err := fs.ReadFile(migrations, file)
		if err != nil {
			return nil, err
		}
		steps[file] = &fstest.MapFile{Data: body}
	}
	c := &Catalog{}
	if err := c.open(path, steps, Options{}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}
