"""The messages of Flight and Flight SQL, generated from `heddle/flightsql/proto` (`make proto`)."""
