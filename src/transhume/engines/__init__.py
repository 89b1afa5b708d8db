"""The engines that compute: each runs SELECTs over the files of one work folder and nothing else."""
