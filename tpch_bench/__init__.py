"""Eight TPC-H queries as Heddle programs, their official SQL, and the data and answers to check them with."""
