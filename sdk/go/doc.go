// Package heddle is the Go SDK of Heddle: a plugin offers steps and resources under a namespace, and Heddle
// programs call them by name. The engine starts the plugin as a process of its own and hands it Arrow tables
// in shared memory.
//
// A plugin is a value of type Plugin. Its offers are Step, Source, Sink and Resource values; Serve runs it,
// and Try calls one of its steps in a test, without an engine.
//
// # Memory
//
// The rows that a step is given stand in the engine's memory and are read in place. They are valid until the
// step returns. What is to live longer is retained (Table.Retain) or copied (Table.Clone): this includes
// slices and strings that were taken from Arrow arrays, for they point into the same memory. Values, Rows
// and Scan copy what they give. A step with CopyInput set gets a copy and need not think of any of this.
package heddle
