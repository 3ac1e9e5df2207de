"""The compiler's front: text -> tokens -> syntax tree -> typed program, or diagnostics. Pure."""
