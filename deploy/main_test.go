// Package deploy tests the files of this folder and the Dockerfile with the
// programs they are for, as far as a machine without those services can.
package deploy

import (
	"os"
	"testing"

	"github.com/shaveet/shaveet/tests/live"
)

func TestMain(m *testing.M) { live.Main(m) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
