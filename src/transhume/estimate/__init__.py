"""How long a migration takes: effort, chances, calendar, machine time, risks. Pure: nothing is measured here.

| module     | from                                            | to                                      |
|------------|-------------------------------------------------|-----------------------------------------|
| effort     | a plan, what is open, what is wrong in the data | working days by phase, item by item     |
| simulation | working days by phase                           | chances: P50, P80, P90, a finish curve  |
| calendar   | working days, start, team, holidays             | dates                                   |
| rates      | measured (rows, seconds) of a run's stages      | machine time for other row counts       |
| risks      | evidence about plan, data and runs              | the risk register                       |
"""
