//go:build race

package live

// raceEnabled makes the program under test carry the race detector exactly
// when its test does.
const raceEnabled = true
